"""hack/bench works from end to end. No time is asserted."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.harness import LIMIT, TREE, left_cgroups

BENCH = TREE / "hack/bench.d"


def bench(*words):
    # Not hack/bench: it would wait for the lock that this run of hack/test holds.
    return subprocess.run(
        [sys.executable, "-m", "bench", "--without", "crun", *words],
        cwd=BENCH,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


def test_a_quick_run(tmp_path):
    """Every work of it; crun is left out, because what it needs acts machine-wide."""
    before = set(os.listdir("/tmp"))
    done = bench("--quick", "--runtime", f"other={shutil.which('runc')}", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path}/benchmark.md: of ")
    document = json.loads((tmp_path / "benchmark.json").read_text())
    assert list(document["facts"]["runtimes"]) == ["ocirt", "runc", "other"] and document["facts"]["quick"] is True
    series = {(row["work"], row["runtime"]): row["samples"] for row in document["series"]}
    for runtime in ("ocirt", "runc", "other"):
        for work in (
            "create",
            "start",
            "state",
            "kill",
            "delete",
            "life cycle",
            "run true",
            "exec true",
            "create, new shape",
            "many containers",
            "list",
            "create: peak memory",
            "waiting run: memory",
            "smallest memory limit",
            "delete: system calls",
            "create, new shape, known filter",
            "run true with podman's profile",
        ):
            assert series[work, runtime] and min(series[work, runtime]) >= 0, (work, runtime)
    for runtime in ("ocirt", "hack/floor"):
        for work in ("floor: create", "floor: run", "floor: create, host with mounts"):
            assert series[work, runtime]
    assert "| create, back to back |" in (tmp_path / "benchmark.md").read_text()
    assert (tmp_path / "benchmark.svg").read_text().startswith("<svg ")
    assert left_cgroups() == []
    assert not [name for name in set(os.listdir("/tmp")) - before if name.startswith("ocirt-bench-")]


def test_a_run_that_fails_says_why_and_leaves_nothing(tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such luck >&2\nexit 7\n")
    broken.chmod(0o755)
    done = bench("--quick", "--runtime", f"broken={broken}", "--output", str(tmp_path / "out"))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"hack/bench: {broken} --root ") and last.endswith(": exit status 7: no such luck")
    assert not (tmp_path / "out").exists() and left_cgroups() == []


def test_a_run_that_is_terminated_leaves_nothing():
    """A time limit of the caller's ends it by SIGTERM, and so does the caller's own end (hack/lib.sh)."""
    before = {place for top in ("/tmp", "/run") for place in Path(top).glob("ocirt-bench-*")}
    words = [sys.executable, "-m", "bench.floor", "create", "99999"]
    with subprocess.Popen(words, cwd=BENCH, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        deadline = time.monotonic() + LIMIT
        while not list(Path("/tmp").glob("ocirt-bench-*/bench.d-floor")) and time.monotonic() < deadline:
            time.sleep(0.05)
        run.terminate()
        _, said = run.communicate(timeout=LIMIT)
    assert (run.returncode, said) == (1, "ended by SIGTERM\n")
    assert {place for top in ("/tmp", "/run") for place in Path(top).glob("ocirt-bench-*")} == before


def test_the_page_of_a_run_can_be_made_again(tmp_path):
    done = bench("--render", str(TREE / "docs/benchmark.json"), "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert Path(tmp_path / "benchmark.md").read_text() == (TREE / "docs/benchmark.md").read_text()
