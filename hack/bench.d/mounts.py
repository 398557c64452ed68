#!/usr/bin/env python3
"""In the guest of hack/bench-mounts: how long a create takes on a host with many mounts, with the mount namespace that
Linux 7 makes of the rootfs and with a copy of the host's, beside crun and runc.

Writes /share/mounts.json. The runtimes take turns. Both ways of ocirt run under a seccomp filter
of one length, which refuses OPEN_TREE_NAMESPACE to one of them. Only ratios count: the guest is emulated.
"""

import ctypes
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 15
MANY = 1000
OPEN_TREE, NAMESPACE, EINVAL, NO_FLAG = 428, 2, 22, 1 << 30
SET_SECCOMP, MODE_FILTER = 22, 2
MS_BIND = 4096
PLACE = Path("/run/bench-mounts")
MANY_AT = PLACE / "many"
COPY, ALONE = "ocirt with a copy of the mounts", "ocirt"
LIMIT = 120


def filtered(flag: int) -> None:
    """Refuses open_tree(2) with ``flag`` to this process and its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    steps = [
        (0x20, 0, 0, 0),
        (0x15, 0, 3, OPEN_TREE),
        (0x20, 0, 0, 32),
        (0x45, 0, 1, flag),
        (0x06, 0, 0, 0x00050000 | EINVAL),
        (0x06, 0, 0, 0x7FFF0000),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in steps))
    if libc.prctl(SET_SECCOMP, MODE_FILTER, struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)), 0, 0):
        sys.exit("mounts.py: cannot set a seccomp filter")


RUNTIMES: dict[str, tuple[str, Callable[[], None] | None]] = {
    ALONE: ("/tree/build/bin/ocirt", lambda: filtered(NO_FLAG)),
    COPY: ("/tree/build/bin/ocirt", lambda: filtered(NAMESPACE)),
    "crun": ("/usr/bin/crun", None),
    "runc": ("/usr/sbin/runc", None),
}


def make_bundle() -> Path:
    bundle = PLACE / "bundle"
    (bundle / "rootfs/bin").mkdir(parents=True)
    for name in ("proc", "sys", "dev", "etc"):
        (bundle / "rootfs" / name).mkdir()
    shutil.copy(shutil.which("busybox") or sys.exit("mounts.py: no busybox"), bundle / "rootfs/bin/busybox")
    subprocess.run(["/usr/sbin/runc", "spec", "--bundle", bundle], check=True, timeout=LIMIT)
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(terminal=False, args=["/bin/busybox", "sleep", "1000"])
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


def create(name: str, bundle: Path) -> float:
    """Milliseconds of one create; the container is removed again."""
    executable, prepare = RUNTIMES[name]
    words = [executable, "--root", str(PLACE / executable.rpartition("/")[2])]
    # The filter is set in a process of its own before the time begins: it waits for a byte.
    begin, end = os.pipe()
    program = subprocess.Popen(
        ["sh", "-c", 'read -r _; exec "$0" "$@"', *words, "create", "--bundle", str(bundle), "measured"],
        stdin=begin,
        stdout=subprocess.DEVNULL,
        preexec_fn=prepare,
    )
    os.close(begin)
    time.sleep(0.3)
    start = time.perf_counter()
    os.write(end, b"\n")
    os.close(end)
    if program.wait(LIMIT):
        sys.exit(f"mounts.py: {name}: create failed")
    taken = (time.perf_counter() - start) * 1000
    subprocess.run([*words, "delete", "--force", "measured"], stdin=subprocess.DEVNULL, check=True, timeout=LIMIT)
    return taken


def measure(bundle: Path) -> dict[str, dict[str, float]]:
    """The medians without and with many mounts. Each round has both, because other work of the machine, of which the
    guest is a process, comes and goes.
    """
    times = {how: {name: list[float]() for name in RUNTIMES} for how in ("without", "with")}
    for number in range(ROUNDS + 1):
        for how, found in times.items():
            if how == "with":
                mount_many()
            # In random order: what one container leaves to the kernel to end, the next create pays for.
            for name in random.sample(list(RUNTIMES), len(RUNTIMES)):
                taken = create(name, bundle)
                if number:  # the first round fills caches
                    found[name].append(taken)
        subprocess.run(["umount", "--lazy", MANY_AT], check=True, timeout=LIMIT)
    return {how: {name: statistics.median(each) for name, each in found.items()} for how, found in times.items()}


def mount_many() -> None:
    """Make MANY mounts, all below one that takes them away again."""
    MANY_AT.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", MANY_AT], check=True, timeout=LIMIT)
    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(MANY):
        target = MANY_AT / str(number)
        target.mkdir()
        if libc.mount(bytes(target), bytes(target), None, MS_BIND, None):
            sys.exit(f"mounts.py: cannot mount: {os.strerror(ctypes.get_errno())}")


def version(executable: str) -> str:
    shown = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=LIMIT, check=True).stdout
    return shown.split()[2]


def main() -> None:
    if sys.argv[1:] != ["apart"]:
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, __file__, "apart"])
    PLACE.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", PLACE], check=True, timeout=LIMIT)
    (PLACE / "cache").mkdir(mode=0o700)
    os.environ["OCIRT_CACHE"] = str(PLACE / "cache")
    bundle = make_bundle()
    facts: dict[str, object] = {
        "kernel": os.uname().release,
        "crun": version("/usr/bin/crun"),
        "runc": version("/usr/sbin/runc"),
    }
    facts["rounds"] = ROUNDS
    facts["mounts"] = len(Path("/proc/self/mountinfo").read_text().splitlines())
    facts |= measure(bundle)
    Path("/share/mounts.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
