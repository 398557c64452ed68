"""No process of a container reaches the executable by /proc/PID/exe (CVE-2019-5736), nor the pages of its file: where the kernel
lets it, the runtime goes on from private memory; elsewhere from a sealed copy, or from a read-only mount of its own."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT, built, enough_output


def executable_files(maps):
    """Paths of the files of which a process can execute what it has mapped."""
    rows = [line.split(None, 5) for line in maps.splitlines()]
    return {row[5].strip() for row in rows if "x" in row[1] and len(row) > 5 and not row[5].startswith("[")}


def has_no_file(pid):
    exe, maps = f"/proc/{pid}/exe", Path(f"/proc/{pid}/maps").read_text()
    assert executable_files(maps) == set() and str(built("bin")) not in maps, maps
    assert os.readlink(exe).startswith("/memfd:") and os.stat(exe).st_size == 0 and seals(exe) == SEALED


def seals(path):
    with open(path, "rb") as file:
        return fcntl.fcntl(file, fcntl.F_GET_SEALS)


SEALED = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@pytest.mark.parametrize("flags", [("--no-cache",), ()], ids=["compiled", "kept"])
def test_init_has_no_file(ocirt, bundle, flags):
    """Of a create that Python has compiled, and of one whose program is kept. What has no file has no pages in the page cache
    that a container could poison (CVE-2022-0847, CVE-2026-31431)."""
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "known")  # from here on it is kept
    ocirt.ok("delete", "--force", "known")
    ocirt.ok("create", *flags, "--bundle", bundle, "c1")
    has_no_file(ocirt.state("c1")["pid"])


def test_a_runtime_that_waits_has_no_file(ocirt, bundle):
    bundle.config["root"]["readonly"] = False
    bundle.shell("echo running > /tmp/said; sleep 60").save()
    process = subprocess.Popen(
        ocirt.command("run", "--bundle", bundle, "c1"), stdin=subprocess.DEVNULL, env=ocirt.environment
    )
    try:
        enough_output(bundle.rootfs / "tmp/said")
        has_no_file(process.pid)
    finally:
        ocirt("delete", "--force", "c1")
        process.wait(LIMIT)


def test_an_executable_on_a_read_only_mount(ocirt, bundle, tmp_path):
    """As where /usr is one: nobody writes there, but its pages are those of the host."""
    bundle.save()
    place = tmp_path / "usr"
    place.mkdir()
    subprocess.run(["mount", "--bind", built("bin").parent, place], check=True, timeout=LIMIT)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True, timeout=LIMIT)
        ocirt.executable = place / "ocirt"
        ocirt.ok("create", "--bundle", bundle, "c1")
        has_no_file(ocirt.state("c1")["pid"])
        ocirt.ok("delete", "--force", "c1")
    finally:
        subprocess.run(["umount", place], check=True, timeout=LIMIT)


@pytest.mark.parametrize("call", ["mmap", "mprotect", "mremap", "prctl"])
def test_a_kernel_that_needs_a_file(ocirt, bundle, call):
    """One without PR_SET_MM_MAP, or whose policy lets nobody execute memory of no file: a sealed copy of the whole executable."""
    bundle.save()
    command = [
        "strace",
        "-D",
        "-o",
        "/dev/null",
        "-e",
        f"inject={call}:error=EACCES:when=1",
        *ocirt.command("create", "--bundle", bundle, "c1"),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=LIMIT, env=ocirt.environment
    )
    assert done.returncode == 0
    exe = f"/proc/{ocirt.state('c1')['pid']}/exe"
    assert (
        os.readlink(exe).startswith("/memfd:")
        and os.stat(exe).st_size == os.stat(built("bin")).st_size
        and seals(exe) == SEALED
    )


@pytest.mark.skipif(not os.path.exists("/proc/sys/vm/memfd_noexec"), reason="vm.memfd_noexec came with Linux 6.3")
def test_where_memfds_may_not_be_executed(ocirt, bundle):
    """vm.memfd_noexec is 2 (in a pid namespace of the test's own): the executable comes from a read-only mount."""
    bundle.config["root"]["readonly"] = False
    bundle.shell("echo ready > /tmp/ready; while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 6").save()
    # As an attacker would: keep the file open, and write to it when nobody executes it any more.
    script = (
        'set -e; echo 2 > /proc/sys/vm/memfd_noexec; "$@" create --bundle {0} c1 > /dev/null; pid=$("$@" state c1 | grep pid | '
        'tr -dc 0-9); readlink /proc/$pid/exe; exec 9< /proc/$pid/exe; "$@" start c1; '
        'while [ ! -e {0}/rootfs/tmp/ready ]; do sleep 0.05; done; touch {0}/rootfs/tmp/go; "$@" delete --force c1; '
        "(: >> /proc/self/fd/9) 2>&1 || true"
    ).format(bundle)
    command = ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "sh", "-c", script, "sh", *ocirt.command()]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done
    assert "memfd" not in done.stdout and "Read-only file system" in done.stdout, done
