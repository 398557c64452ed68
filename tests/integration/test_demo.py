"""hack/demo: what it prints fits a screen."""

import re
import subprocess

import pytest

from tests.integration.harness import LIMIT, TREE


@pytest.mark.cgroups
def test_the_demo():
    done = subprocess.run(
        [TREE / "hack/demo"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT * 4
    )
    assert done.returncode == 0, done
    lines = [line for line in done.stdout.splitlines() if not line.startswith("built ")]
    assert 24 <= len(lines) <= 40 and max(map(len, lines)) <= 120
    for line in ("hostname      demo", "memory limit  67108864 bytes", "processes     32 at most"):
        assert line in lines
    plan = lines[next(n for n, line in enumerate(lines) if line.startswith("== ocirt plan")) + 1 :]
    assert len(plan[: plan.index("")]) == 10 and any(
        re.match(r" SetHostname +hostname +name=demo", each) for each in plan
    )
    first, second = [int(line.split()[2]) for line in lines if re.match(r"(first|second) run +\d+ ms$", line)]
    assert first > 0 and second > 0


def test_arguments_of_the_demo():
    done = subprocess.run([TREE / "hack/demo", "--what"], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (1, "hack/demo: takes --plan or nothing\n")
