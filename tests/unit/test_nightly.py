"""hack/nightly: the record that it makes of a lane's results, and the page."""

import json
import re
import subprocess
import sys

import pytest
from nightly import __main__ as program
from nightly.lanes import LANES, TREE, Lane
from nightly.page import named, page, short, some
from nightly.results import failed, file_of, part_of, parts, reason_of

TESTS = """
import pytest
def test_good(): pass
@pytest.mark.parametrize("engine", ["podman", "docker"])
def test_of(engine): assert engine == "podman"
def test_left_out(): pytest.skip("no | here")
def test_proved(): pytest.skip("cannot start;\\nmore; with runc, too: FAILED x")
@pytest.fixture
def bad(): raise OSError("set-up")
def test_error(bad): pass
"""


@pytest.fixture
def results(tmp_path):
    """What pytest writes for TESTS, as a file of tests/engines."""
    folder = tmp_path / "tests/engines"
    folder.mkdir(parents=True)
    (folder / "test_matrix.py").write_text(TESTS)
    # Without a base of its own, pytest would close the folder of root's runs, and with it the tests of ordinary users.
    words = [sys.executable, "-m", "pytest", "-q", "--rootdir=.", "-c/dev/null", "--junitxml=x.xml", "--basetemp=base"]
    words.append("tests/engines")
    done = subprocess.run(words, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done
    return tmp_path / "x.xml"


def test_every_test_is_counted_once(results):
    assert parts(results) == {
        "matrix": {
            "passed": 1,
            "files": {"test_matrix.py": 1},
            "failed": ["test_error"],
            "left out": {"no | here": ["test_left_out"], "runc fails, too: cannot start; more": ["test_proved"]},
        },
        "podman, matrix": {"passed": 1, "files": {"test_matrix.py": 1}, "failed": [], "left out": {}},
        "docker, matrix": {"passed": 0, "files": {}, "failed": ["test_of[docker]"], "left out": {}},
    }
    assert failed({"parts": parts(results)}) == ["test_error", "test_of[docker]"]


def test_parts():
    assert part_of("tests.unit.test_log", "test_x") == "unit"
    assert part_of("pytest", "internal") == "pytest"
    assert part_of("ocirt.linux_devices", "/dev/x exists") == "conformance"
    assert part_of("tests.engines.test_podman", "test_x[a]") == "podman"
    assert part_of("tests.engines.test_page", "test_x[docker-1]") == "docker, page"


def test_files():
    assert file_of("tests.unit.test_log") == "test_log.py"
    assert file_of("tests.vm.guest.engines") == "guest/engines.py"
    assert file_of("ocirt.linux_devices") == "ocirt.linux_devices"


def test_a_kernel_with_other_pages_is_apart(tmp_path):
    """A test that ran on two kernels of a lane is in two parts, by the name that run-tests gives a suite."""
    case = '<testsuite name="{}"><testcase classname="tests.integration.test_x" name="test_y"/></testsuite>'
    files = [tmp_path / name for name in ("integration.xml", "16k.xml")]
    for file, name in zip(files, ("pytest", "pages of 16 KiB")):
        file.write_text(f"<testsuites>{case.format(name)}</testsuites>")
    once = {"passed": 1, "files": {"test_x.py": 1}, "failed": [], "left out": {}}
    assert parts(*files) == {"integration": once, "integration, pages of 16 KiB": once}


def test_a_reason_is_one_short_line():
    assert reason_of("Skipped: a\nb; with runc, too: FAILED x") == "runc fails, too: a b"
    assert len(reason_of("word " * 1000)) == 600


def test_the_page_has_each_reason_once():
    """Reasons that only differ in times, ids or folders are one row, with the number of tests; that of most tests first."""
    refused = "runc fails, too: tests.engines.cell.CellError: crictl runp status 1 stdout: stderr: E1130 08:33:{} {} log.go:32] refused"
    record = {
        "host": "The host",
        "date": "2026-11-30",
        "commit": "c1",
        "facts": {},
        "parts": {
            "cri": {
                "passed": 0,
                "failed": [],
                "left out": {refused.format("39.5", 11): ["test_a"], "no node": ["test_b"]},
            },
            "page": {
                "passed": 0,
                "failed": ["test_d[1]", "test_d[2]", "test_e"],
                "left out": {refused.format("44", 12): ["test_c[1]", "test_c[2]"]},
            },
        },
    }
    lines = page({"one": record}).splitlines()
    assert lines[lines.index("| left out | why | tests |") + 2 :] == [
        "| 3 | runc fails, too: crictl runp status 1 stderr: refused | cri: test_a, page: test_c (2) |",
        "| 1 | no node | cri: test_b |",
    ]
    assert "| page | 0 | 2 | test_d (2), test_e |" in lines


def test_a_row_of_the_page_is_short():
    assert short("word " * 40) == "word " * 21 + "…"
    assert short("KeyError: 'memory' in /tmp/pytest-of-root/pytest-3/x.json") == "KeyError: 'memory' in …/x.json"
    assert some(named(f"test_{letter}" for letter in "abcdef")) == "test_a, test_b, test_c, test_d and 2 more"


def lane(command, results):
    return Lane("one", "The host", tuple(command), (), results)


@pytest.fixture
def night(tmp_path, monkeypatch):
    for name, path in (("JSON", "hosts.json"), ("PAGE", "hosts.md"), ("LOGS", "logs")):
        monkeypatch.setattr(program, name, tmp_path / path)
    return tmp_path


def test_a_lane_and_the_page(night, results, monkeypatch, capsys):
    kept = results.read_text()
    command = [sys.executable, "-c", f"open({str(results)!r}, 'w').write({kept!r}); raise SystemExit(1)"]
    monkeypatch.setattr(program, "LANES", [lane(command, results)])
    assert program.main([]) == 1
    assert "one: 2 failed: test_error, test_of[docker]" in capsys.readouterr().err
    text = (night / "hosts.md").read_text()
    assert "## The host" in text and "| docker, matrix | 0 | 0 | test_of |" in text
    assert "| 1 | no \\| here | matrix: test_left_out |" in text and "kernel " in text
    assert text == page(json.loads((night / "hosts.json").read_text()))
    (night / "hosts.md").unlink()
    assert program.main(["--render"]) == 0 and (night / "hosts.md").read_text() == text


def test_a_lane_with_guests(night, results, tmp_path, monkeypatch):
    """What tests in guests said counts too, and what an earlier run left there does not."""
    guests = tmp_path / "guests"
    guests.mkdir()
    (guests / "old.xml").write_text(results.read_text())
    case = '<testsuite><testcase classname="tests.integration.test_x" name="test_y"/></testsuite>'
    command = ["sh", "-c", 'for file; do echo "$0" >"$file"; done', case, str(results), str(guests / "new.xml")]
    monkeypatch.setattr(program, "LANES", [lane(command, results)._replace(guests=guests)])
    assert program.main([]) == 0
    record = json.loads((night / "hosts.json").read_text())["one"]
    assert record["parts"] == {"integration": {"passed": 2, "files": {"test_x.py": 2}, "failed": [], "left out": {}}}


def test_parts_that_ran_by_hand(night, results, tmp_path, monkeypatch):
    """--record runs nothing; the page says that this is not the whole lane."""
    results.rename(tmp_path / "all.podman.xml")
    monkeypatch.setattr(program, "LANES", [lane(["false"], tmp_path / "all.xml")])
    assert program.main(["--record", "one"]) == 1  # two of TESTS fail
    record = json.loads((night / "hosts.json").read_text())["one"]
    assert record["parts"] == parts(tmp_path / "all.podman.xml")
    assert "parts of it that were run by hand |" in (night / "hosts.md").read_text()


def test_parts_of_several_commits(night, results, tmp_path, monkeypatch):
    """A file of a guest names the commit at which it ran, which tests/vm/machine.py writes into it."""
    text = results.read_text()
    for at in ("a1", "b2"):
        (tmp_path / f"all.{at}.xml").write_text(text.replace("<testsuites", f'<testsuites commit="{at}"'))
    monkeypatch.setattr(program, "LANES", [lane(["false"], tmp_path / "all.xml")])
    assert program.main(["--record", "one"]) == 1
    assert json.loads((night / "hosts.json").read_text())["one"]["commit"] == "a1, b2"


def test_parts_by_hand_beside_earlier_ones(night, results, tmp_path, monkeypatch):
    """A part that did not run again keeps its result; one that did has the new one."""
    case = '<testsuites commit="{}"><testsuite><testcase classname="tests.{}.test_x" name="test_y">{}</testcase></testsuite></testsuites>'
    monkeypatch.setattr(program, "LANES", [lane(["false"], tmp_path / "all.xml")])
    file = tmp_path / "all.one.xml"
    file.write_text(case.format("a1", "unit", "<failure/>"))
    assert program.main(["--record", "one"]) == 1
    file.write_text(case.format("b2", "security", ""))
    assert program.main(["--record", "one"]) == 1  # what failed before still counts
    file.write_text(case.format("c3", "unit", ""))
    assert program.main(["--record", "one"]) == 0
    record = json.loads((night / "hosts.json").read_text())["one"]
    once = {"passed": 1, "files": {"test_x.py": 1}, "failed": [], "left out": {}}
    assert record["parts"] == {"security": once, "unit": once} and record["commit"] == "a1, b2, c3"


def test_nothing_ran_by_hand(night, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "LANES", [lane(["false"], tmp_path / "all.xml")])
    with pytest.raises(SystemExit, match="found no results"):
        program.main(["--record", "one"])
    assert not (night / "hosts.json").exists()


@pytest.mark.parametrize("status", [0, 3])
def test_a_lane_without_results(night, tmp_path, monkeypatch, status):
    """Results of an earlier run do not count."""
    old = tmp_path / "old.xml"
    old.write_text("<testsuites/>")
    monkeypatch.setattr(program, "LANES", [lane(["sh", "-c", f"exit {status}"], old)])
    assert program.main(["one"]) == 1
    assert failed(json.loads((night / "hosts.json").read_text())["one"]) == [f"status {status}, no results"]


def test_an_unknown_lane(night):
    assert program.main(["nosuch"]) == 2 and not (night / "hosts.json").exists()


def test_the_lanes_commands_exist():
    assert len({lane.name for lane in LANES}) == len(LANES) >= 5
    for each in LANES:
        assert (TREE / each.command[0]).exists() and str(each.results).startswith(str(TREE / "build/"))


def usage():
    """The flags of hack/test, as its first lines have them: name -> the value, ``""`` without one, and if it may be missing."""
    found = re.findall(r"^#     hack/test (.*)", (TREE / "hack/test").read_text(), re.MULTILINE)
    flags = re.findall(r"(--[a-z]+)(\[)?(?:=(\w+))?", " ".join(found))
    return {name: (value, bool(optional) or not value) for name, optional, value in flags}


def test_each_lanes_command_is_one_of_hack_test():
    """What hack/test does not know would go to pytest."""
    suites = re.findall(r"\^\(([a-z|]+)\)\$", (TREE / "hack/engines-root").read_text())[0].split("|")
    for lane in LANES:
        assert lane.command[0] == "hack/test" and lane.command[-1].startswith("--junitxml=build/nightly/")
        for word in lane.command[1:-1]:
            name, _, given = word.partition("=")
            value, optional = usage()[name]
            assert given in (suites if value == "SUITE" else [value]) or (not given and optional), word
        # The facts are those of the host where hack/test runs the tests.
        (root,) = [word.partition("=")[2] for word in lane.command if word.startswith("--engines=")] or [None]
        assert not root or lane.inside == ("hack/engines-root", root, "--")


def test_the_kubelets_containerd_is_new_enough():
    """docs/testing.md says that it wants 1.7, which Debian 12 does not have."""
    (command,) = [lane.command for lane in LANES if lane.name == "kubernetes"]
    assert "`hack/test --engines=forky --kubernetes`" in (TREE / "docs/testing.md").read_text()
    assert command[:-1] == ("hack/test", "--engines=forky", "--kubernetes")


def test_every_lane_of_hack_test_runs_in_a_night():
    """Those without a lane of their own are in the run without arguments."""
    offered = set(usage())
    of_their_own = {word.partition("=")[0] for lane in LANES for word in lane.command[1:]} - {"--junitxml"}
    assert offered - of_their_own == {"--unit", "--security", "--fault", "--conformance", "--soak"}


def test_the_page_is_what_the_recorded_results_say():
    records = json.loads((TREE / "docs/hosts.json").read_text())
    assert (TREE / "docs/hosts.md").read_text() == page(records)
    assert set(records) <= {lane.name for lane in LANES}
