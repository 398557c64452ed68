#!/usr/bin/python3
"""In the guest: how long containers take whose cgroups systemd makes, ocirt's and crun's in turn. ``driver.py [ROUNDS]``

Writes /share/driver.json: ``rounds``; ``milliseconds``, runtime -> verb -> median; ``quarter``, the same of the 25th percentile.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from smoke import SYSTEMD, make_bundle

RUNTIMES = ("ocirt", "crun")
VERBS = ("create", "start", "delete", "run")
"""``run`` is of a program that ends at once: a scope made, entered and stopped."""


def timed(command):
    """Milliseconds from start to end. Spawned without a copy of this process, which is slow here."""
    began = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise SystemExit(f"{' '.join(command)}: exit status {status}")
    return (time.monotonic() - began) * 1000


def turn(runtime, folder, samples):
    """One container that is created, started and deleted, and one that is run."""
    command = [runtime, "--systemd-cgroup", "--root", f"{folder}/{runtime}"]
    for verb, *words in (
        ("create", "--bundle", f"{folder}/sleep", "c1"),
        ("start", "c1"),
        ("delete", "--force", "c1"),
        ("run", "--bundle", f"{folder}/true", "c1"),
    ):
        samples[verb].append(timed([*command, verb, *words]))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory(prefix="driver-") as folder:
        for name, args in (("sleep", ["/bin/sleep", "600"]), ("true", ["/bin/busybox", "true"])):
            make_bundle(Path(folder) / name, "driver", SYSTEMD)
            path = Path(folder) / name / "config.json"
            config = json.loads(path.read_text())
            config["process"]["args"] = args
            path.write_text(json.dumps(config))
        # A tree's build has no cache of programs unless it is told where.
        os.mkdir(f"{folder}/programs", 0o700)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", f"{folder}/programs"], check=True, timeout=60
        )
        os.environ["OCIRT_CACHE"] = f"{folder}/programs"
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        samples = {runtime: {verb: [] for verb in VERBS} for runtime in RUNTIMES}
        try:
            # The first of a shape is compiled; it is no sample.
            for number in range(rounds + 1):
                for runtime in RUNTIMES[:: 1 if number % 2 else -1]:
                    turn(runtime, folder, samples[runtime])
        finally:
            subprocess.run(["umount", f"{folder}/programs"], check=True, timeout=60)

    def of(which):
        return {
            runtime: {verb: round(which(values[1:]), 2) for verb, values in verbs.items()}
            for runtime, verbs in samples.items()
        }

    Path("/share/driver.json").write_text(
        json.dumps(
            {
                "rounds": rounds,
                "milliseconds": of(statistics.median),
                "quarter": of(lambda values: statistics.quantiles(values, n=4)[0]),
            }
        )
    )


if __name__ == "__main__":
    main()
