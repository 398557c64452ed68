"""docs/kernels.md: what newer kernels than the oldest promised one add is refused here as older ones refuse it, and all works the same."""

import fcntl
import os
import re
import subprocess
import sys
import threading

import pytest

from ocirt.library import lifecycle, pidfd
from ocirt.library.waiting import Wait
from tests.integration.filters import WHOLE, refusal
from tests.integration.harness import LIMIT
from tests.integration.test_inherited import Under
from tests.integration.unified import ON_V2

EINVAL, ENOTTY = 22, 25
MFD_NOEXEC_SEAL, MFD_EXEC = 0x8, 0x10
SET_FD = 5  # FSCONFIG_SET_FD
LONG = "l" * 200


def without_kinds_of_memfds():
    return refusal("memfd_create", EINVAL, *[(1, kind, kind) for kind in (MFD_NOEXEC_SEAL, MFD_EXEC)])


def test_before_6_3_memfds_are_of_one_kind(ocirt, bundle, tmp_path):
    """All that the runtime makes: of its own executable, config.json, the program, stand-ins, hooks."""
    old = Under(ocirt, without_kinds_of_memfds())
    bundle.config["hooks"] = {
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"grep -q created && echo ran >{tmp_path}/ran"]}]
    }
    bundle.args("sleep", "1000").save()
    with open(tmp_path / "held", "w") as file:
        held = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 30)  # the numbers before it need a stand-in
        preserved = ("--preserve-fds", str(held - 2))
        old.ok("run", "--no-cache", "--detach", *preserved, "--bundle", bundle, "c1", pass_fds=[held])
        os.close(held)
    assert (tmp_path / "ran").read_text() == "ran\n"
    for more in ((), ("--no-cache",)):
        assert old.ok("exec", *more, "c1", "echo", "in").out == "in\n"
    pid = ocirt.state("c1")["pid"]
    assert os.readlink(f"/proc/{pid}/exe").endswith("/busybox")
    old.ok("delete", "--force", "c1")


def test_before_6_3_the_librarys_memfds_are_of_one_kind(monkeypatch):
    def made(name, flags):
        if flags & (MFD_NOEXEC_SEAL | MFD_EXEC):
            raise OSError(EINVAL, "Invalid argument")
        return memfd_create(name, flags)

    memfd_create = os.memfd_create
    monkeypatch.setattr(os, "memfd_create", made)
    assert lifecycle.contents(lifecycle.memfd("config.json", b"{}")) == b"{}"


@pytest.fixture
def layered(bundle, tmp_path):
    """Words that run the bundle on two layers, of which only the paths have the given length."""

    def make(name):
        top, base = tmp_path / f"top{name}", tmp_path / f"base{name}"
        top.mkdir(parents=True)
        base.parent.mkdir(parents=True, exist_ok=True)
        (top / "file").write_text("top\n")
        bundle.rootfs.rename(base)
        bundle.rootfs.mkdir()
        bundle.shell("cat /file").save()
        return ("run", "--layer", top, "--layer", base, "--bundle", bundle, "c1")

    return make


def test_before_6_8_layers_are_one_option(ocirt, layered, tmp_path):
    """The first "lowerdir+" is refused, wherever in the order of a process's calls it is."""
    words = layered("")
    log = tmp_path / "strace"
    trace = ["strace", "-f", "-o", log, "-e", "trace=fsconfig,mount"]

    def run(*more):
        done = subprocess.run(
            [*trace, *more, *ocirt.command(*words)], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT
        )
        assert done.stdout == b"top\n", done
        return log.read_text()

    calls = [line for line in run().splitlines() if " fsconfig(" in line]
    (first, *_) = [line for line in calls if '"lowerdir+"' in line]
    before = [line for line in calls[: calls.index(first)] if line.split()[0] == first.split()[0]]
    then = run("-e", f"inject=fsconfig:error=EINVAL:when={len(before) + 1}")
    assert "(INJECTED)" in then and re.search(r'mount\(.*"overlay".*"lowerdir=', then), then


@pytest.mark.parametrize("kernel", ["this", "before 6.13"])
def test_a_layer_with_a_long_path(ocirt, layered, kernel):
    """A string has at most 255 bytes; since 6.13 a layer may be a descriptor."""
    runtime = Under(ocirt, refusal("fsconfig", EINVAL, (1, WHOLE, SET_FD)))
    words = layered(f"/{LONG}/{LONG}")
    assert (runtime if kernel != "this" else ocirt).ok(*words).out == "top\n"


@pytest.mark.cgroupfs
def test_before_5_15_no_cgroup_can_be_idle(ocirt, bundle, tmp_path):
    """The kernel has no such file then: here strace refuses the path by which the runtime opens it."""
    bundle.config["linux"]["resources"] = {"cpu": {"idle": 1}}
    bundle.args("true").save()
    log = tmp_path / "strace"
    calls = ("-e", "trace=openat,openat2", "-e", "signal=none")

    def run(*more):
        return subprocess.run(
            ["strace", "-f", "-s", "4096", "-o", log, *calls, *more, *ocirt.command("run", "--bundle", bundle, "c1")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    assert run().returncode == 0
    (path,) = set(re.findall(r'"([^"]*cpu\.idle)"', log.read_text()))
    refused = run("-P", path, "-e", "inject=openat,openat2:error=ENOENT")
    assert refused.returncode == 1 and "linux.resources.cpu.idle: write 1 to " in refused.stderr, refused
    explained = "this kernel has no such file" if ON_V2 else "no such file or directory"
    assert explained in refused.stderr and ocirt.ids() == [], refused


@pytest.mark.parametrize("mode, since", [("MPOL_PREFERRED_MANY", "5.15"), ("MPOL_WEIGHTED_INTERLEAVE", "6.9")])
def test_a_memory_policy_that_the_kernel_does_not_know(ocirt, bundle, mode, since):
    bundle.config["linux"]["memoryPolicy"] = {"mode": mode, "nodes": "0"}
    message = Under(ocirt, refusal("set_mempolicy", EINVAL)).fails("create", "--bundle", bundle.save(), "c1")
    assert f"linux.memoryPolicy: set the memory policy {mode}: set_mempolicy: invalid argument" in message
    assert "an old kernel does not know every mode and flag" in message


def test_a_file_system_on_which_the_kernel_maps_no_ids(ocirt, bundle):
    """No kernel does on a procfs."""
    maps = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    bundle.config["mounts"].append(
        {
            "destination": "/data",
            "source": "/proc/sys/kernel",
            "options": ["bind", "idmap"],
            "uidMappings": maps,
            "gidMappings": maps,
        }
    )
    message = ocirt.fails("create", "--bundle", bundle.save(), "c1")
    assert message.strip('"').startswith("mounts[7]") and "mount_setattr MOUNT_ATTR_IDMAP: invalid argument" in message
    assert "this kernel maps no ids on the file system of the source" in message


@pytest.mark.parametrize("knows", ["nothing", "6.13"])
def test_before_6_15_no_pidfd_tells_an_exit_status(monkeypatch, knows):
    """Linux 6.13 has the call, which says nothing of a process that has ended."""

    def answer(fd, request, data, *more):
        if knows == "nothing":
            raise OSError(ENOTTY, "Inappropriate ioctl for device")
        data[:] = bytes(len(data))

    monkeypatch.setattr(pidfd.fcntl, "ioctl", answer)
    monkeypatch.setattr(pidfd, "REAP_SECONDS", 0.01)
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    held = os.pidfd_open(process.pid)
    waiting = pidfd.end(held, None)
    assert isinstance(waiting.send(None), Wait)
    threading.Thread(target=process.wait).start()
    with pytest.raises(StopIteration) as ended:
        waiting.send({held})
        waiting.send(set())
    assert ended.value.value is None and process.wait(LIMIT) == 3
    os.close(held)
