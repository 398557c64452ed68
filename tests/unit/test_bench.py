"""hack/bench: statistics, counting, targets, and that docs/benchmark.md is what its JSON gives."""

import re
import xml.etree.ElementTree
from pathlib import Path

import pytest
from bench import (
    ALONE,
    AS_IT_IS,
    BACK,
    BUSCTL,
    CGROUPFS,
    COPIED,
    CROWDED,
    FEW,
    FLOOR,
    INTERPRETER,
    MANY,
    ON_DISK,
    ON_TMPFS,
    OUR_FLOOR,
    OURS,
    PAUSES,
    SAME_FLOOR,
    SYSTEMD,
    SYSTEMD_RUN,
    BenchError,
    CommandFailed,
    report,
    targets,
    works,
)
from bench import __main__ as command
from bench.__main__ import arguments
from bench.containers import VERBS
from bench.measure import Alarm, Spawner, count_calls
from bench.place import Runtime
from bench.plot import bars
from bench.results import Results, interval, median, percentile

from conformance import cells

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    "samples, middle, high", [([5], 5, 5), ([1, 9], 5, 9), ([3, 1, 2], 2, 3), (list(range(1, 101)), 50.5, 95)]
)
def test_median_and_percentile(samples, middle, high):
    assert (median(samples), percentile(samples, 95)) == (middle, high)


def results():
    """A run in which everything of ours takes 1 ms, and the others' 4."""
    made = Results(
        {"many": 200, "existing": 1000, "host mounts": 1000, "runtimes": {"ocirt": "1", "runc": "2"}, "date": "d"}
    )
    for pattern in (BACK, PAUSES):
        for work in (
            "life cycle",
            *VERBS,
            "create, new shape",
            "floor: create",
            "floor: create without the cgroup mount",
        ):
            for name in (OURS, "crun", "runc", *((FLOOR, OUR_FLOOR) if work.startswith("floor") else ())):
                made.add(work, pattern, name, *[1000 if name == OURS else 4000] * 3)
    made.add("create, new shape", BACK, INTERPRETER, 800)
    for name in (OURS, FLOOR):
        made.add("floor: create, host as it is", "", name, 1000)
        made.add("floor: create, host with mounts", "", name, 3000)
    for name, milliseconds in (("run true without a profile", 5), ("run true with podman's profile", 5.5)):
        made.add(name, "", OURS, milliseconds * 1000)
    for mode, microseconds in (("read", 200), ("load", 500)):
        made.add(f"a process that {mode}s the filter", "", "bare", microseconds)
    made.add("state", FEW, OURS, 400), made.add("state", MANY, OURS, 600)
    made.add("list", FEW, OURS, 400), made.add("list", MANY, OURS, 4000)
    return made


def test_the_guest_of_linux_7():
    """Ratios of each round, and whether a difference is more than their spread."""
    made = results()
    made.mounts = Results({"more": 1000, "date": "d", "commit": "abc-dirty", "rounds": 9, "load of the machine": "0.1"})
    for name, few, many in ((OURS, 10, 10.2), (COPIED, 12, 15), ("crun", 40, 60)):
        for number in range(9):
            made.mounts.add("create", AS_IT_IS, name, 1000 * (few + number % 3))
            made.mounts.add("create", CROWDED, name, 1000 * (many + (number + name.startswith(OURS)) % 3))
    again = Results.from_json(made.to_json())
    assert again.mounts is not None and again.mounts.series == made.mounts.series
    page = report.markdown(again)
    for row in (
        "| ocirt | 11.0 (10.0 to 12.0) | 11.2 (10.2 to 12.2) | 1.11 (0.85 to 1.12): within the spread |  |  |",
        f"| {COPIED} | 13.0 (12.0 to 14.0) | 16.0 (15.0 to 17.0) | 1.31 (1.07 to 1.33) | 0.85 (0.83 to 0.86) | 0.70",
    ):
        assert row in page, row
    assert "abc with changes that are in no commit" in page and "| load of the machine | 0.1 |" in page
    assert "The same on Linux 7" not in report.markdown(results())


def test_the_interval_of_a_median():
    assert interval(range(1, 11)) == (2, 9) and interval(range(1, 21)) == (6, 15)
    assert interval([3, 1, 2]) == (1, 3)  # too few


def test_there_and_back():
    made = results()
    again = Results.from_json(made.to_json())
    assert (again.facts, again.series) == (made.facts, made.series)
    assert again.ratio("create", OURS, "runc", BACK) == 0.25 and again.ratio("create", OURS, "other", BACK) is None
    assert again.runtimes() == [OURS, "crun", "runc", FLOOR, OUR_FLOOR, INTERPRETER, "bare"]


def on_cgroup2():
    made = Results({"many": 200, "existing": 1000, "date": "d", "runtimes": {"crun": "crun version 1.28"}})
    for work in ("life cycle", "create", "floor: create"):
        for name in (OURS, "crun", OUR_FLOOR):
            made.add(work, BACK, name, *[1000 if name == OURS else 4000] * 3)
    return made


def test_the_part_on_cgroup_v2():
    """It is kept in the same file, judged by targets of its own, and shown in a section of its own."""
    made = results()
    made.cgroup2 = on_cgroup2()
    again = Results.from_json(made.to_json())
    assert again.cgroup2 is not None and again.cgroup2.series == made.cgroup2.series
    found = {(each.work, each.pattern, each.against): each for each in targets.ratios(again.cgroup2, targets.CGROUP2)}
    assert found["create", BACK, "crun"].word == "met" and found["life cycle", BACK, "crun"].word == "**missed**"
    assert found["floor: create", BACK, OUR_FLOOR].limit == 1.25
    part = report.markdown(again).partition("\n## On cgroup v2 alone")[2].partition("\n## ")[0]
    assert "| create, back to back | crun | 0.25 | 0.25 | met | 0.25 |" in part and "crun version 1.28" in part
    assert "## On cgroup v2 alone" not in report.markdown(results())


def test_the_guest_with_systemd():
    """Both drivers, the floor, and systemd alone: kept in the same file, judged and shown in a section of its own."""
    made = results()
    made.guest = Results({"many": 0, "existing": 0, "date": "d", "systemd": "262", "rounds": 3})
    for driver in (SYSTEMD, CGROUPFS):
        for name in (OURS, "crun"):
            made.guest.add("create", driver, name, *[100_000 if name == OURS else 500_000] * 3)
    made.guest.add("floor: ready", CGROUPFS, OURS, 100_000)
    made.guest.add("floor: ready", CGROUPFS, OUR_FLOOR, 50_000)
    for name, milliseconds in ((OURS, 120), (BUSCTL, 80), (SYSTEMD_RUN, 100)):
        made.guest.add("create", ALONE, name, milliseconds * 1000)
    again = Results.from_json(made.to_json())
    assert again.guest is not None and again.guest.series == made.guest.series and again.cgroup2 is None
    part = report.markdown(again).partition("\n## In a guest with systemd")[2].partition("\n## ")[0]
    for row in (
        "| create, systemd driver | crun | 0.30 | 0.20 | met | 0.20 |",
        "| create, beside systemd alone | busctl | 1.30 | 1.50 | **missed** | 1.50 |",
        "| create, beside systemd alone | systemd-run --scope | 1.30 | 1.20 | met | 1.20 |",
        "| floor: ready, cgroupfs | hack/floor | 1.25 | 2.00 | **missed** | 2.00 |",
        "| run true, cgroupfs | crun | 0.35 |  | not measured |  |",
        "| create, beside systemd alone | 120.00 (120.0) | 100.00 (100.0) | 80.00 (80.0) | - | 1.20 | 1.50 | - |",
    ):
        assert row in part, row
    assert "| systemd | 262 |" in part
    assert "## In a guest with systemd" not in report.markdown(results())


def test_a_new_page_keeps_what_guests_have_measured(monkeypatch, tmp_path):
    earlier = results()
    earlier.mounts, earlier.guest = Results({"date": "long ago"}), Results({"date": "then"})
    (tmp_path / "benchmark.json").write_text(earlier.to_json())
    monkeypatch.setattr(command, "DOCS", tmp_path)
    made = results()
    command.keep_guests(made)
    assert made.mounts and made.mounts.facts == {"date": "long ago"}
    assert made.guest and made.guest.facts == {"date": "then"}
    newer = results()
    newer.guest = Results({"date": "now"})
    command.keep_guests(newer)
    assert newer.guest.facts == {"date": "now"}


def test_verdicts():
    found = {(each.work, each.pattern, each.against): each for each in targets.verdicts(results())}
    assert found["create", BACK, "crun"].word == "met" and found["create", BACK, "runc"].word == "**missed**"
    assert found["create, new shape", BACK, INTERPRETER].measured == 1.25
    assert found["exec true", "", "crun"].word == "not measured"
    noisy = results()
    noisy.series["create", BACK, OURS] = [1000, 1000, 9000, 9000, 9000]
    judged = {(each.work, each.pattern, each.against): each for each in targets.verdicts(noisy)}["create", BACK, "crun"]
    assert (judged.measured, judged.quarter, judged.word) == (2.25, 0.25, "**missed**")
    assert found["slope of create with mounts on the host", "", FLOOR].measured == 1
    assert found["a seccomp profile on top, ms", "", ""].measured == pytest.approx(0.5)
    bare = found["the same, of a bare load, ms", "", ""]
    assert bare.measured == pytest.approx(0.3) and bare.word == ""
    assert found["create", ON_DISK, ON_TMPFS].word == "not measured"
    kept = results()
    kept.add("create", ON_DISK, OURS, 1080), kept.add("create", ON_TMPFS, OURS, 1000)
    judged = {(each.work, each.pattern, each.against): each for each in targets.verdicts(kept)}
    assert (judged["create", ON_DISK, ON_TMPFS].measured, judged["create", ON_DISK, ON_TMPFS].word) == (1.08, "met")
    assert found["state", MANY, FEW].word == "**missed**" and found["list", MANY, f"{FEW}, ten times"].word == "met"
    assert found["distance of hack/floor, create", BACK, FLOOR].measured == 0
    assert ("distance of floor, a copy, create", BACK, FLOOR) not in found
    twice = results()
    twice.add("floor: create", BACK, SAME_FLOOR, 4400)
    judged = {(each.work, each.pattern, each.against): each for each in targets.verdicts(twice)}
    copy = judged["distance of floor, a copy, create", BACK, FLOOR]
    assert copy.measured == pytest.approx(0.1) and copy.word == ""


def test_the_floor_of_a_create_ends_when_the_container_is_ready():
    """What it takes to kill and remove a container is none of a create's work."""
    made = Results()
    for mode, microseconds in (("create", 900), ("nothing", 10), ("run", 950)):
        made.add(f"floor: {mode}", BACK, OUR_FLOOR, microseconds)
    assert targets.least(made, "create", BACK) == 900
    made.add("floor: ready", BACK, OUR_FLOOR, 600)
    assert [targets.least(made, work, BACK) for work in ("create", "life cycle")] == [600, 940]
    assert targets.least(made, "run true", "") == 950


def test_every_target_of_the_issue_is_judged():
    works = {work for work, _, _ in targets.RATIOS}
    assert works >= {
        "life cycle",
        "create",
        "create, new shape",
        "create, new shape, known filter",
        "start",
        "state",
        "kill",
        "delete",
        "run true",
        "exec true",
        "many containers",
        "list",
        "create: peak memory",
        "waiting run: memory",
        "smallest memory limit",
        "floor: create",
        "floor: run",
    }
    assert all(set(limits) <= {"crun", "runc", FLOOR, INTERPRETER} and limits for _, _, limits in targets.RATIOS)


def test_the_page():
    page = report.markdown(results())
    assert "| create, back to back | 1.00 (1.0) | 4.00 (4.0) | 4.00 (4.0) | 0.25 | 0.25 |" in page
    assert "| create, back to back | crun | 0.40 | 0.25 | met | 0.25 |" in page
    assert "| state, 1000 exist | 100 exist | 1.25 | 1.50 | **missed** |  |" in page
    assert "| ocirt | 5.00 (5.0) | 5.50 (5.5) | 0.50 |" in page
    assert "None" not in page


def test_a_page_without_the_fixed_floor_or_peers():
    made = results()
    made.series = {key: samples for key, samples in made.series.items() if key[2] in (OURS, OUR_FLOOR, "bare")}
    page = report.markdown(made)
    assert "| create, back to back | - | 4.00 (4.0) | 1.00 (1.0) | - | 1.00 (1.0) | - |" in page
    assert "None" not in page and "not measured" in page and report.svg(made).endswith("</svg>\n")


def test_docs_are_what_their_json_gives():
    """No figure of docs/benchmark.md is typed by hand."""
    made = Results.from_json((DOCS / "benchmark.json").read_text())
    assert (DOCS / "benchmark.md").read_text() == report.markdown(made), (
        "write it by hack/bench --render docs/benchmark.json --docs"
    )
    assert (DOCS / report.PLOT).read_text() == report.svg(made)
    assert not made.facts["quick"]


def test_the_plot():
    text = bars("a < b", [("create", [("x", [1, 2, 3]), ("y", [10])]), ("start", [("x", [4])])])
    tree = xml.etree.ElementTree.fromstring(text)
    words = [each.text for each in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert words[0] == "a < b" and {"create", "start", "x", "y", "2.0 ms", "10.0 ms", "4.0 ms"} <= set(words)
    widths = [
        float(each.get("width")) for each in tree.iter("{http://www.w3.org/2000/svg}rect") if each.get("height") == "11"
    ]
    assert [width / widths[1] for width in widths] == pytest.approx([0.2, 1, 0.4], abs=0.01)


LOG = """\
10 execve("/bin/x", ["x"], 0x7ffe /* 3 vars */) = 0
10 openat(AT_FDCWD, "a(b", O_RDONLY <unfinished ...>
11 read(3, "exited +++", 10) = 10
10 <... openat resumed>) = 3
11 --- SIGCHLD {si_signo=SIGCHLD} ---
10 exit_group(0) = ?
10 +++ exited with 0 +++
11 close(3) = 0
"""


def test_system_calls_are_counted_up_to_the_end_of_the_runtime():
    assert count_calls(LOG) == {"execve": 1, "openat": 1, "read": 1, "exit_group": 1}


@pytest.fixture
def spawn(tmp_path):
    return Spawner(tmp_path / "errors", {"PATH": "/usr/bin:/bin"})


def test_a_command_is_timed(spawn, tmp_path):
    used = spawn("/bin/sh", "-c", "sleep 0.05; echo out; echo err >&2", output=tmp_path / "out")
    assert 50_000 < used.time < 5_000_000 and 0 <= used.cpu < used.time and (tmp_path / "out").read_text() == "out\n"
    assert spawn.succeeds("/bin/true") and not spawn.succeeds("/bin/false")


def test_a_command_that_fails_is_quoted(spawn):
    with pytest.raises(BenchError, match=r"^/bin/sh -c echo one; echo two >&2; exit 3: exit status 3: two$"):
        spawn("/bin/sh", "-c", "echo one; echo two >&2; exit 3")
    with pytest.raises(BenchError, match="signal 9: no word"):
        spawn("/bin/sh", "-c", "kill -9 $$")


def test_a_further_runtime_that_fails_is_left_out(monkeypatch):
    """Its figures from before stay, those of the work in which it failed do not; a usual peer that fails ends the run."""
    monkeypatch.setattr(works, "remove_cgroups", lambda: None)
    monkeypatch.setattr(works, "make_parents", lambda: None)
    runtimes = [Runtime(name, f"/{name}", "/root") for name in ("ocirt", "runc", "youki")]
    scale = {"rounds": 2, "many": 1, "existing": 1, "host_mounts": 0}
    run = works.Run(None, Results(), runtimes, {}, "", say=lambda *_: None, **scale)

    def work(run, failing=""):
        for runtime in run.turns("work"):
            if runtime.name == failing:
                raise CommandFailed([runtime.path, "delete"], "exit status 1: no")
            run.results.add("work", "", runtime.name, 1)

    run.do(work)
    run.do(work, "youki")
    assert [len(run.results.samples("work", each.name)) for each in runtimes] == [4, 4, 2]
    assert run.results.facts["left out"] == "youki, from `work` on: exit status 1: no" and run.runtimes == runtimes[:2]
    with pytest.raises(CommandFailed, match="/runc delete: exit status 1: no"):
        run.do(work, "runc")


def test_a_command_that_hangs_is_ended(spawn, monkeypatch):
    monkeypatch.setattr(Alarm.__init__, "__defaults__", (0.1,))
    with pytest.raises(BenchError, match="takes more than 0.1 seconds"):
        spawn("/bin/sleep", "60")


@pytest.mark.parametrize(
    "words", [["--runtime", "x"], ["--runtime", "x=/nowhere"], ["--rounds", "1"], ["--without", "podman"], ["x"]]
)
def test_a_wrong_command_line(words, capsys):
    with pytest.raises(SystemExit):
        arguments(words)
    assert re.search("error: ", capsys.readouterr().err)


def test_the_command_line(tmp_path):
    options = arguments(["--runtime", "x=/bin/true", "--quick", "--without", "crun", "--output", str(tmp_path)])
    assert (options.runtime, options.quick, options.without, options.output) == (
        ["x=/bin/true"],
        True,
        ["crun"],
        tmp_path,
    )
    assert arguments(["--docs"]).output == DOCS


def test_a_plain_directory_beneath_the_cgroups_is_no_hierarchy(tmp_path, monkeypatch):
    """Some program has left one, with files in it that are named like a cgroup's: nothing is made, or removed, there."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/cgroup.procs").write_text("")
    (tmp_path / "link").symlink_to("/proc")
    monkeypatch.setattr(cells, "TOP", tmp_path)
    assert cells.hierarchies() == []
    monkeypatch.setattr(cells, "TOP", Path("/sys/fs/cgroup"))
    assert cells.kind() == "v2" or cells.hierarchies() or not Path("/sys/fs/cgroup/pids").exists()
