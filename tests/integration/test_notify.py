"""NOTIFY_SOCKET and LISTEN_FDS, as a service manager gives them (sd_notify(3), sd_listen_fds(3))."""

import os
import socket
import subprocess
import sys
import threading

import pytest

from tests.integration.harness import LIMIT
from tests.integration.test_mounts import in_user_namespace


class Manager:
    """The manager's end of NOTIFY_SOCKET: collects what is said, and answers barriers."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(LIMIT)
        self.said = []
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while not self.said or self.said[-1] != "BARRIER=1":
            data, passed, _, _ = socket.recv_fds(self.socket, 4096, 4)
            self.said.append(data.decode())
            for fd in passed:
                os.close(fd)

    def all_said(self):
        self.thread.join(LIMIT)
        self.socket.close()
        return self.said


@pytest.fixture
def manager(tmp_path):
    return Manager(str(tmp_path / "manager"))


@pytest.fixture
def notifier(bundle):
    """A bundle whose program says that it is ready: a static one, since busybox cannot write to a unix socket."""
    source = bundle.path / "notify.c"
    source.write_text("""
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(void) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strcpy(to.sun_path, getenv("NOTIFY_SOCKET"));
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  const char *first = "STATUS=starting", *second = "STATUS=here\\nREADY=1\\n";
  sendto(fd, first, strlen(first), 0, (void *)&to, sizeof to);
  if (sendto(fd, second, strlen(second), 0, (void *)&to, sizeof to) < 0) return 1;
  sleep(60);
}
""")
    subprocess.run(["gcc", "-static", "-o", bundle.rootfs / "bin/notify", source], check=True, timeout=LIMIT)
    (bundle.rootfs / "run").mkdir()
    return bundle.args("notify").save()


@pytest.mark.parametrize("userns", [False, True])
def test_start_waits_until_the_container_is_ready(ocirt, notifier, manager, tmp_path, userns):
    if userns:
        in_user_namespace(notifier)
        notifier.save()
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "manager")}
    ocirt.ok("create", "--bundle", notifier, "c1", env=environment)
    assert manager.said == []
    ocirt.ok("start", "c1", env=environment)
    assert manager.all_said() == ["READY=1\n", f"MAINPID={ocirt.state('c1')['pid']}\n", "BARRIER=1"]
    ocirt.ok("delete", "--force", "c1")


def test_run_detached(ocirt, notifier, manager, tmp_path):
    ocirt.ok("run", "-d", "--bundle", notifier, "c1", env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "manager")})
    assert manager.all_said()[0] == "READY=1\n"


def test_run_in_the_foreground(ocirt, notifier, tmp_path):
    """An abstract address, as systemd once had; the messages are this process' own."""
    manager = Manager(f"\0ocirt-test-{os.getpid()}")
    manager.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    process = subprocess.Popen(
        ocirt.command("run", "--bundle", notifier, "c1"),
        stdin=subprocess.DEVNULL,
        env={**os.environ, "NOTIFY_SOCKET": f"@ocirt-test-{os.getpid()}"},
    )
    assert manager.all_said() == ["READY=1\n", f"MAINPID={ocirt.state('c1')['pid']}\n", "BARRIER=1"]
    ocirt.ok("kill", "c1", "KILL")
    assert process.wait(LIMIT) == 137


def test_a_container_that_dies_without_a_word(ocirt, bundle, tmp_path):
    bundle.args("true").save()
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "manager")}
    ocirt.ok("create", "--bundle", bundle, "c1", env=environment)
    ocirt.ok("start", "c1", env=environment)
    ocirt.wait_status("c1", "stopped")
    ocirt.ok("delete", "c1")


def test_only_create_had_the_socket(ocirt, notifier, tmp_path):
    ocirt.ok("create", "--bundle", notifier, "c1", env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "manager")})
    ocirt.ok("start", "c1")


def test_descriptors_for_the_container(ocirt, bundle, tmp_path):
    """LISTEN_FDS are passed on if they are meant for this process; those of --preserve-fds come after them."""
    (tmp_path / "data").write_text("listened\n")
    bundle.shell("echo $LISTEN_FDS $LISTEN_PID; cat <&3; ls /proc/self/fd | wc -l").save()
    exec_as_service = (
        "import os, sys; os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid() + int(sys.argv[1]))); "
        f"fd = os.open({str(tmp_path / 'data')!r}, 0); os.dup2(fd, 3); os.set_inheritable(3, True); os.execv(sys.argv[2], sys.argv[2:])"
    )
    command = ocirt.command("run", "--bundle", bundle, "c1")
    done = subprocess.run(
        [sys.executable, "-c", exec_as_service, "0", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.stdout == "1 1\nlistened\n5\n", done
    done = subprocess.run(
        [sys.executable, "-c", exec_as_service, "1", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.stdout.splitlines()[0] == "" and "listened" not in done.stdout, done
