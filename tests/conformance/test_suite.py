"""The public runtime-tools programs against this tree's ocirt: nothing fails, or passes, but as known.toml says."""

import dataclasses
import os
import subprocess
import time
from pathlib import Path

import pytest

from conformance import build, cells, known, report, run
from conformance.__main__ import FILES, OURS, column, facts


@pytest.fixture(scope="module")
def suite():
    if os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{os.getppid()}/ns/mnt"):
        pytest.exit("tests/conformance mounts things: run it by hack/test, in a mount namespace of its own", 1)
    cells.check()
    run.clean()
    yield build.suite()
    run.clean()


@pytest.fixture(scope="module")
def ours(suite):
    found = column(suite, run.runtime(OURS), suite.programs, known.load().at(cells.kind()))
    FILES.mkdir(parents=True, exist_ok=True)
    whole = report.Report((found,), facts(suite))
    (FILES / "report.json").write_text(report.to_json(whole))
    (FILES / "junit.xml").write_text(report.to_junit(whole))
    return found


def test_all_programs_were_run(suite, ours):
    assert len(suite.programs) == 58 and list(ours.results) == suite.programs
    assert {entry.program for entry in known.load().entries} <= set(suite.programs)


def test_nothing_is_otherwise_than_known(ours):
    report.show(ours)
    differences = {
        program: verdict.differences for program, verdict in ours.verdicts.items() if verdict.outcome == "not ok"
    }
    assert differences == {}


def test_nothing_is_left(suite, ours):
    cells.remove()  # the parent, which is kept from cell to cell: it must be empty
    assert not any((top / cells.PARENT.strip("/")).exists() for top in cells.hierarchies())
    assert not cells.HUGETLB.exists()


@pytest.mark.parametrize("slowness, right", [(1, False), (2, True)])
def test_runtimetest_has_time_on_a_slow_machine(suite, tmp_path, monkeypatch, slowness, right):
    """The programs themselves give it ten seconds, which an emulated machine may need for a part of it."""
    monkeypatch.setattr(cells, "SLOWNESS", slowness)
    for path in suite.folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / build.INSIDE).unlink()
    (tmp_path / build.INSIDE).write_text("#!/bin/sh\nsleep 12\necho 1..1\necho ok 1 - it slept\n")
    (tmp_path / build.INSIDE).chmod(0o755)
    result = run.program_in_cell(dataclasses.replace(suite, folder=tmp_path), run.runtime(OURS), "default")
    assert (result.problems == []) is right and (result.count("ok") == 1) is right, result


@pytest.mark.parametrize("slowness, right", [(1, False), (2, True)])
def test_hooks_have_time_on_a_slow_machine(suite, tmp_path, monkeypatch, slowness, right):
    """This runtime takes no hook that has one second, which is what the program gives it."""
    monkeypatch.setattr(cells, "SLOWNESS", slowness)
    runtime = tmp_path / "runtime"
    runtime.write_text(f"""#!/bin/sh
for word; do
  [ "$last" != --bundle ] || ! grep '"timeout": 1$' "$word/config.json" || exit 1
  last=$word
done
exec {OURS} "$@"
""")
    runtime.chmod(0o755)
    result = run.program_in_cell(suite, run.Runtime("ocirt", str(runtime), ()), run.OF_HURRIED_HOOKS)
    assert (result.count("ok") == 3) is right, result


def test_a_program_that_hangs_is_ended(suite):
    """With all its processes, also those that hold its output open."""
    status, out, _ = run.in_cell(
        suite, "hangs", "echo begun; sleep 300 & setsid sleep 301 & sleep 302", run.runtime(OURS), 1
    )
    assert status is None and out == "begun\n"
    assert not any((top / cells.PARENT.strip("/") / "hangs").exists() for top in cells.hierarchies())


def test_what_a_killed_run_leaves_is_taken_away(suite):
    path = cells.make("left")
    freezer = cells.TOP / "freezer" / path.strip("/")
    process = subprocess.Popen([cells.SCRIPT, path, "sleep", "300"])
    try:
        end = time.monotonic() + 10
        while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n" and time.monotonic() < end:
            time.sleep(0.01)
        (freezer / "freezer.state").write_text("FROZEN")
        run.clean()
        assert process.wait(10) == -9 and not freezer.exists()
    finally:
        cells.remove()
        process.kill()
        process.wait(10)


def test_a_cell_looks_like_a_machine_of_its_own(suite):
    """Its cgroup is the root, at the mounts and in /proc/self/cgroup; what is made in it stands below the tests'."""
    script = (
        "cut -d: -f3 /proc/self/cgroup | sort -u; mkdir /sys/fs/cgroup/pids/cgrouptest\n"
        "ls /run; echo $TMPDIR; ls -d /sys/fs/cgroup/pids/cgrouptest; sleep 30 &"
    )
    path = f"{cells.TOP}/pids{cells.PARENT}/looks/cgrouptest"
    status, out, err = run.in_cell(suite, "looks", script, run.runtime(OURS), 20)
    assert (status, err) == (0, "")
    assert out.split() == ["/", "cell", "/run/cell/tmp", "/sys/fs/cgroup/pids/cgrouptest"]
    assert not os.path.exists(path) and not os.path.exists("/sys/fs/cgroup/pids/cgrouptest")
