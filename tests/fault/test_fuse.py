"""A bundle on FUSE: it works; the file system's server may die or hang in the middle of create, and what is left is cleared."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT
from tests.integration.leftovers import Adopted, Leftovers
from tests.integration.test_faults import steps_of
from tests.integration.test_faults_meanwhile import Stopped

ALL = os.environ.get("OCIRT_FAULT_ALL") == "1"
SILENT = Path(__file__).with_name("silent_fuse.py")


def is_mounted(place):
    return any(line.split()[4] == str(place) for line in Path("/proc/self/mountinfo").read_text().splitlines())


class Fuse:
    """The bundle, at another path: a fuse-overlayfs over it."""

    def __init__(self, bundle, folder):
        self.place = folder / "fuse"
        for name in ("fuse", "upper", "work"):
            (folder / name).mkdir()
        self.upper, self.lower, self.work = folder / "upper", bundle.path, folder / "work"
        self.mount()

    def mount(self):
        self.server = subprocess.Popen(
            [
                "fuse-overlayfs",
                "-f",
                "-o",
                f"lowerdir={self.lower},upperdir={self.upper},workdir={self.work}",
                self.place,
            ],
            stdin=subprocess.DEVNULL,
        )
        while not is_mounted(self.place):
            assert self.server.poll() is None

    def kill(self):
        self.server.kill()
        self.server.wait(LIMIT)

    def unmount(self):
        subprocess.run(["umount", "-l", self.place], check=True, timeout=LIMIT)


@pytest.fixture
def fuse(bundle, tmp_path):
    with Adopted():
        made = Fuse(bundle.args("sh", "-c", "echo x >/new; cat /new; sleep 60").save(), tmp_path)
        yield made
        made.kill()
        made.unmount()


def create(place):
    return ("create", "--bundle", place, "c1")


def test_it_works(ocirt, bundle, fuse):
    bundle.config["root"]["readonly"] = False
    bundle.shell("echo x >/new; cat /new").save()
    assert ocirt.ok("run", "--bundle", fuse.place, "c1").out == "x\n"
    assert (fuse.upper / "rootfs/new").read_text() == "x\n" and not (bundle.rootfs / "new").exists()


def test_a_server_that_is_dead(ocirt, fuse):
    """Before create has begun: one line."""
    fuse.kill()
    assert "config.json: open" in ocirt.fails(*create(fuse.place))
    assert ocirt.ids() == []


def some(count):
    return range(1, count + 1, 6)


def test_a_server_that_dies_meanwhile(ocirt, faulty, bundle, fuse, tmp_path):
    count = steps_of(faulty, tmp_path, *create(fuse.place))
    ocirt.ok("delete", "--force", "c1")
    clean, seen = Leftovers(ocirt), set()
    for step in some(count):
        run = Stopped(faulty, step, tmp_path / "log", *create(fuse.place))
        fuse.kill()
        run.go_on()
        status, errors = run.end()
        seen.add(status)
        assert (status, len(errors)) in ((0, 0), (1, 1)), (step, status, errors)
        ocirt.ok("delete", "--force", "c1")
        fuse.unmount()
        fuse.mount()
        clean.children.add(fuse.server.pid)
        assert clean.found() == [], step
        ocirt.ok(*create(fuse.place))
        ocirt.ok("delete", "--force", "c1")
    assert seen == {0, 1}


def test_a_server_that_hangs(ocirt, faulty, bundle, fuse, tmp_path):
    """It stands still, and create with it; the runtime is killed. `delete --force` needs nothing of the bundle, but init may: a
    request that the server has taken holds it, SIGKILL or not, and then delete waits until that goes on (or ends, or is aborted)."""
    count = steps_of(faulty, tmp_path, *create(fuse.place))
    ocirt.ok("delete", "--force", "c1")
    clean, waited, at_once = Leftovers(ocirt), 0, 0
    for step in some(count):
        run = Stopped(faulty, step, tmp_path / "log", *create(fuse.place))
        fuse.server.send_signal(signal.SIGSTOP)
        run.go_on()
        try:
            run.process.wait(0.05)
        except subprocess.TimeoutExpired:
            waited += 1
        run.process.kill()
        delete = subprocess.Popen(
            ocirt.command("delete", "--force", "c1"), stdin=subprocess.DEVNULL, env=ocirt.environment
        )
        try:
            delete.wait(0.05)
            at_once += 1
        except subprocess.TimeoutExpired:
            pass
        fuse.server.send_signal(signal.SIGCONT)
        assert delete.wait(LIMIT) == 0 and run.process.wait(LIMIT) in (0, -signal.SIGKILL)
        assert clean.found() == [], step
    ocirt.ok(*create(fuse.place))
    ocirt.ok("delete", "--force", "c1")
    assert waited and at_once


def test_a_request_without_an_answer(ocirt, bundle, tmp_path):
    """Init waits for a server that has taken its request: the kernel lets nobody kill it until the server's end, or until
    somebody writes to the connection's `abort`. `delete --force` waits for that, ten seconds at most (which OCIRT_FAULT_ALL=1 has
    time for), and then leaves nothing."""
    (tmp_path / "mnt").mkdir()
    clean = Leftovers(ocirt)
    server = subprocess.Popen(
        [sys.executable, "-I", "-S", SILENT, tmp_path / "mnt"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout.readline() == "mounted\n"
        bundle.config["root"]["path"] = str(tmp_path / "mnt")
        bundle.save()
        run = subprocess.Popen(ocirt.command(*create(bundle)), stdin=subprocess.DEVNULL, env=ocirt.environment)
        assert server.stdout.readline() == "asked\n"
        run.kill()
        run.wait(LIMIT)
        if ALL:
            assert "has not ended for 10 s" in ocirt.fails("delete", "--force", "c1", timeout=90)
        delete = subprocess.Popen(
            ocirt.command("delete", "--force", "c1"), stdin=subprocess.DEVNULL, env=ocirt.environment
        )
        with pytest.raises(subprocess.TimeoutExpired):
            delete.wait(0.3)
        server.kill()
        server.wait(LIMIT)
        assert delete.wait(LIMIT) == 0
    finally:
        server.kill()
        server.wait(LIMIT)
        subprocess.run(["umount", "-l", tmp_path / "mnt"], check=True, timeout=LIMIT)
    with Adopted():
        assert clean.found() == []
