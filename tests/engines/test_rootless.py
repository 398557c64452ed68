"""podman of a real unprivileged user, with ocirt as its runtime."""

import pytest

from tests.engines.expected import OURS
from tests.engines.podman import CONFIG, chosen

UID = 54321
HOME = f"/run/user/{UID}/home"
STORAGE = """\
[storage]
driver = "overlay"
"""
SLEEP = ("busybox", "sleep", "300")


class User:
    """podman as the user calls it."""

    def __init__(self, cell, archives, runtime):
        self.cell, self.runtime = cell, runtime
        for file, line in (
            ("passwd", f"tester:x:{UID}:{UID}::{HOME}:/bin/sh"),
            ("group", f"tester:x:{UID}:"),
            ("subuid", "tester:700000:65536"),
            ("subgid", "tester:700000:65536"),
        ):
            path = cell.path(f"/etc/{file}")
            path.write_text(path.read_text() + line + "\n")
        cell.write(
            f"{HOME}/.config/containers/containers.conf",
            CONFIG + chosen(runtime).replace("[engine]\n", ""),
        )
        cell.write(f"{HOME}/.config/containers/storage.conf", STORAGE)
        cell.write(f"{HOME}/busybox.tar", "")
        cell.path(f"{HOME}/busybox.tar").write_bytes((archives / "busybox.tar").read_bytes())
        cell.ok("chown", "-R", f"{UID}:{UID}", f"/run/user/{UID}")
        cell.ok("chmod", "700", f"/run/user/{UID}")  # as systemd makes it
        # Devices that rootless networks need are root's alone on some machines: own nodes, in this cell only.
        cell.ok(
            "sh",
            "-c",
            "mkdir -p /run/dev && mknod -m 666 /run/dev/tun c 10 200 && mknod -m 666 /run/dev/fuse c 10 229"
            " && mount --bind /run/dev/tun /dev/net/tun && mount --bind /run/dev/fuse /dev/fuse",
        )
        self.ok("load", "--input", f"{HOME}/busybox.tar")
        self.ok("run", "--rm", "busybox", "true")

    def words(self, *words):
        return (
            "setpriv",
            "--reuid",
            str(UID),
            "--regid",
            str(UID),
            "--init-groups",
            "--reset-env",
            "env",
            "-C",
            HOME,
            f"XDG_RUNTIME_DIR=/run/user/{UID}",
            "PODMAN_IGNORE_CGROUPSV1_WARNING=1",
            *words,
        )

    def __call__(self, *words, **more):
        return self.cell(*self.words("podman", *words), **more)

    def ok(self, *words, **more):
        return self.cell.ok(*self.words("podman", *words), **more)


@pytest.fixture(scope="module")
def engine(cell, archives, runtime):
    return User(cell, archives, runtime)


@pytest.fixture
def podman(engine, nothing_left):
    before = engine.cell.left()
    yield engine
    engine("rm", "--all", "--force", "--time", "0")
    engine("network", "prune", "--force")
    nothing_left(engine.cell, before)
    assert not list(engine.cell.path(f"/run/user/{UID}").glob("ocirt/*"))


def test_run(podman):
    result = podman("run", "--rm", "busybox", "sh", "-c", "id -u; cat /proc/self/uid_map; echo err >&2; exit 7")
    assert (
        result.status == 7
        and result.out.split() == ["0", "0", str(UID), "1", "1", "700000", "65536"]
        and result.err == "err\n"
    ), result


@OURS
def test_it_is_ocirt_that_runs(podman):
    podman.ok("run", "--detach", "--name", "c1", *SLEEP)
    name = podman.ok("container", "inspect", "--format", "{{.Id}} {{.OCIRuntime}} {{.State.Pid}}", "c1").split()
    assert name[1] == "ocirt" and podman.cell.path(f"/run/user/{UID}/ocirt/{name[0]}/state.json").exists()
    assert podman.cell.path(f"/proc/{name[2]}").stat().st_uid == UID


def test_terminal(podman):
    result = podman.cell.terminal(
        *podman.words("podman", "run", "--rm", "-it", "busybox", "sh", "-c", "tty; read line; echo got $line; exit 3"),
        typed="hello\n",
    )
    assert result.status == 3 and "/dev/pts/0" in result.out and "got hello" in result.out, result


def test_stop_start_kill(podman):
    podman.ok(
        "run",
        "--detach",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 9' TERM; touch /tmp/ready; while :; do sleep 0.05; done",
    )
    pid = podman.ok("container", "inspect", "--format", "{{.State.Pid}}", "c1")
    podman.cell.ok("sh", "-c", f"until [ -e /proc/{pid}/root/tmp/ready ]; do sleep 0.1; done")
    podman.ok("stop", "c1")
    assert podman.ok("container", "inspect", "--format", "{{.State.ExitCode}}", "c1") == "9"
    podman.ok("start", "c1")
    podman.ok("kill", "c1")
    assert podman.ok("wait", "c1") == "137"


def test_users(podman):
    assert podman.ok("run", "--rm", "--user", "guest", "busybox", "id", "-u") == "1000"
    assert podman.ok("run", "--rm", "--userns", "keep-id", "busybox", "id", "-u") == str(UID)


@pytest.mark.parametrize(
    "flags", [("--userns", "nomap"), ("--userns", "auto"), ("--uidmap", "0:1:1000", "--gidmap", "0:1:1000")], ids=str
)
def test_other_ids_than_the_users(podman, flags):
    """The container's root is not the user, so it cannot pass /run/user/UID. There podman keeps files that it binds, and
    here is the volume.
    """
    podman.cell.write(f"{HOME}/dir/file", "bound\n")
    script = "id -u; cat /mnt/file /etc/hosts; cat /proc/self/uid_map"
    out = podman.ok("run", "--rm", *flags, "--volume", f"{HOME}/dir:/mnt", "busybox", "sh", "-c", script)
    assert out.startswith("0\nbound\n") and "localhost" in out
    assert all(line.split()[1] != "0" for line in out.splitlines()[-1:]), out


def test_an_image_as_a_volume(podman):
    mount = "type=image,source=localhost/busybox,destination=/image"
    assert podman.ok("run", "--rm", "--mount", mount, "busybox", "ls", "/image/bin/busybox") == "/image/bin/busybox"
    more = f"{mount},rw=true"
    assert podman.ok("run", "--rm", "--mount", more, "busybox", "sh", "-c", "echo x > /image/x; cat /image/x") == "x"


def test_volumes(podman):
    podman.ok("run", "--rm", "--volume", "data:/data", "busybox", "sh", "-c", "echo kept > /data/file")
    assert (
        podman.ok("run", "--rm", "--volume", "data:/data:ro", "--tmpfs", "/scratch", "busybox", "cat", "/data/file")
        == "kept"
    )
    podman.ok("volume", "rm", "data")


def test_security(podman):
    assert podman("run", "--rm", "--read-only", "busybox", "touch", "/file").status == 1
    assert podman("run", "--rm", "--cap-drop", "CHOWN", "busybox", "chown", "guest", "/tmp").status == 1
    assert podman.ok("run", "--rm", "busybox", "grep", "Seccomp:", "/proc/self/status").split()[1] == "2"


def test_two_containers_on_a_network(podman):
    podman.ok("network", "create", "n1")
    podman.ok(
        "run", "--detach", "--network", "n1", "--name", "server", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc"
    )
    assert "root:x:0" in podman.ok("run", "--rm", "--network", "n1", "busybox", "wget", "-qO-", "http://server/passwd")


def test_published_port(podman):
    podman.ok(
        "run",
        "--detach",
        "--name",
        "server",
        "--publish",
        "127.0.0.1:8080:80",
        "busybox",
        "httpd",
        "-f",
        "-p",
        "80",
        "-h",
        "/etc",
    )
    assert "root:x:0" in podman.cell.ok(
        "sh",
        "-c",
        "for n in 1 2 3 4 5 6 7 8 9; do busybox wget -qO- http://127.0.0.1:8080/passwd && exit; sleep 0.2; done; exit 1",
    )


def test_build(podman):
    podman.cell.write(
        f"{HOME}/context/Dockerfile",
        'FROM localhost/busybox\nRUN id -u > /data/id; chown guest /data\nCMD ["cat", "/data/id"]\n',
    )
    podman.ok("build", "--isolation", "oci", "--network", "host", "--tag", "built", f"{HOME}/context")
    assert podman.ok("run", "--rm", "built") == "0"
    podman.ok("rmi", "--force", "built")


def test_exec(podman):
    podman.ok("run", "--detach", "--name", "c1", *SLEEP)
    assert podman.ok("exec", "--user", "guest", "c1", "id", "-u") == "1000"
