"""conformance/report.py and the command line: tables and files."""

import io
import json
from xml.etree import ElementTree

import pytest

from conformance import __main__, report
from conformance.known import File, Known, LeftOut, Verdict
from conformance.run import Result, Runtime
from conformance.tap import Point

KNOWN = File((Known("hugetlb", ("it MUST <be> a|b",), "host", "There are none.", "true"),), {})
KNOWN_NONE = File((), {})
RESULTS = {
    "fine": Result("fine", [Point(True, "a"), Point(True, "b", "skip", "not set")], seconds=1.5),
    "hugetlb": Result("hugetlb", [Point(False, "it MUST <be> a|b")]),
    "bad": Result("bad", [], ["no test", "exit status 1"], errors=["failed to create the container", "no way"]),
}
VERDICTS = {"fine": Verdict("ok"), "hugetlb": Verdict("known"), "bad": Verdict("not ok", ["no test", "exit status 1"])}
COLUMN = report.Column(Runtime("ocirt", "/b/ocirt", ("ocirt version 1", "spec: 1.3.0")), RESULTS, VERDICTS)
REPORT = report.Report(
    (COLUMN, report.Column(Runtime("crun", "/b/crun", ("crun version 2",)), RESULTS, VERDICTS)),
    {"date": "today", "host": "Linux"},
)


def test_the_plain_table():
    out = io.StringIO()
    report.show(COLUMN, out)
    lines = out.getvalue().splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["fine", "ok", "1", "0", "1", "1.5"],
        ["hugetlb", "known", "0", "1", "0", "0.0", "it", "MUST", "<be>", "a|b"],
    ]
    assert lines[3].endswith("  no test") and lines[4].strip() == "exit status 1"
    assert lines[-1] == "ocirt: 1 ok, 1 known, 1 not ok"


def test_the_table_of_a_terminal(monkeypatch, capsys):
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    report.show(COLUMN, Terminal())
    out = capsys.readouterr().out
    assert "it MUST <be> a|b" in out and "ocirt: 1 ok, 1 known, 1 not ok" in out


def test_json():
    whole = json.loads(report.to_json(REPORT))
    assert whole["date"] == "today" and [each["name"] for each in whole["runtimes"]] == ["ocirt", "crun"]
    programs = whole["runtimes"][0]["programs"]
    assert programs["bad"]["outcome"] == "not ok" and programs["bad"]["failures"] == ["no test", "exit status 1"]
    assert [test["outcome"] for test in programs["fine"]["tests"]] == ["ok", "skip"]


def test_junit():
    root = ElementTree.fromstring(report.to_junit(REPORT))
    suites = {suite.get("name"): suite for suite in root}
    fine, known, bad = suites["ocirt.fine"], suites["ocirt.hugetlb"], suites["crun.bad"]
    assert (fine.get("tests"), fine.get("failures"), fine.get("skipped")) == ("2", "0", "1")
    assert (known.get("failures"), known.get("skipped")) == ("0", "1")
    assert known.find("testcase/skipped").get("message") == "it MUST <be> a|b"
    assert (bad.get("tests"), bad.get("failures")) == ("3", "3")


def test_xml_holds_no_control_characters():
    result = Result("p", [Point(False, "a\x07b")])
    column = report.Column(COLUMN.runtime, {"p": result}, {"p": Verdict("not ok", ["a\x07b"])})
    assert "\ufffd" in report.to_junit(report.Report((column,), {}))


def test_markdown():
    text = report.to_markdown(REPORT, KNOWN)
    assert "- date: today\n- host: Linux\n- ocirt: ocirt version 1; spec: 1.3.0\n- crun: crun version 2\n" in text
    assert "| program | ocirt | crun |" in text and "| fine | ok (1) | ok (1) |" in text
    assert "| hugetlb | known (0 + 1) | known (0 + 1) |" in text and "| bad | **fails** | **fails** |" in text
    assert "| programs ok | 1 | 1 |" in text
    assert "**hugetlb** (this machine): it MUST \\<be> a|b.\n  There are none." in text
    assert "## What fails with crun" in text and "- bad: no test; exit status 1; no way\n" in text


def test_markdown_tells_what_a_runtime_always_says():
    words = ["failed to create the container", "unknown version"]
    results = {name: Result(name, [], ["no test"], errors=words) for name in "ab"}
    column = report.Column(COLUMN.runtime, results, {name: Verdict("not ok", ["no test"]) for name in "ab"})
    assert "With 2 programs it prints: unknown version." in report.to_markdown(report.Report((column,), {}), KNOWN_NONE)


OUT = LeftOut(("old_one",), "v2", "It is too old.", "true")
AWAY = report.Column(
    COLUMN.runtime, {**RESULTS, "old_one": Result("old_one")}, {**VERDICTS, "old_one": Verdict("left out")}
)


def test_what_is_left_out_is_counted_apart():
    out = io.StringIO()
    report.show(AWAY, out)
    assert out.getvalue().splitlines()[-1] == "ocirt: 1 ok, 1 known, 1 left out, 1 not ok"
    suite = next(
        each
        for each in ElementTree.fromstring(report.to_junit(report.Report((AWAY,), {})))
        if each.get("name") == "ocirt.old_one"
    )
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("1", "0", "1")
    text = report.to_markdown(report.Report((AWAY,), {}), File((), {}, (OUT,)))
    assert "| programs left out | 1 |" in text and "| old_one | left out |" in text
    assert "**Left out**: old\\_one.\n  It is too old." in text


def test_programs_that_the_time_is_too_short_for(monkeypatch):
    """They are named and counted apart, and are no pass. What is left out is judged by its proof, which needs no time."""
    monkeypatch.setattr("conformance.run.program_in_cell", lambda suite, runtime, program, limit: RESULTS["fine"])
    monkeypatch.setattr("conformance.known.prove", lambda *words: True)
    programs, file = ["fine", "old_one"], File((), {"fine": 1}, (OUT,))

    def found(seconds):
        return __main__.column(None, COLUMN.runtime, programs, file, jobs=1, within=seconds)

    assert {name: verdict.outcome for name, verdict in found(60).verdicts.items()} == {
        "fine": "ok",
        "old_one": "left out",
    }
    late = found(-1)
    assert {name: verdict.outcome for name, verdict in late.verdicts.items()} == {
        "fine": "not run",
        "old_one": "left out",
    }
    assert report.closing(late) == "ocirt: 0 ok, 0 known, 1 left out, 0 not ok, 1 not run"
    whole = report.Report((late,), {})
    assert 'message="not run, the time had run out"' in report.to_junit(whole)
    short = report.summary(json.loads(report.to_json(whole)))
    for text in (report.to_markdown(whole, file), "\n".join(report.machine_section(short, file, file))):
        assert "| programs not run | 1 |" in text and "| fine | not run |" in text


def test_the_section_on_the_virtual_machine():
    """Of the run's own JSON; what is known here, too, is not told twice."""
    run = report.summary(json.loads(report.to_json(report.Report((AWAY,), {"date": "yesterday"}))))
    assert run["runtimes"][0]["programs"]["fine"] == {"outcome": "ok", "ok": 1, "not ok": 0, "failures": []}
    there = Known("bad", ("it MUST",), "host", "Only there.", "true", "v2")
    text = "\n".join(report.machine_section(run, File((*KNOWN.entries, there), {}, (OUT,)), KNOWN))
    assert "- date: yesterday\n- ocirt: ocirt version 1; spec: 1.3.0\n" in text
    assert "| fine | ok (1) |" in text and "| old_one | left out |" in text and "| programs left out | 1 |" in text
    assert "Only there." in text and "There are none." not in text and "It is too old." in text
    assert (
        report.to_markdown(REPORT, KNOWN, report.machine_section(run, KNOWN, KNOWN)).count(f"## {report.MACHINE}\n")
        == 1
    )


def test_a_section_of_several_runs():
    """tests/aarch64 divides the programs; the page gets the section once, at its end."""
    one = {"date": "yesterday", "runtimes": [{"name": "ocirt", "version": ["1"], "programs": {}}]}
    fine = {"outcome": "ok", "ok": 2, "not ok": 0, "failures": []}
    parts = [{**one, "runtimes": [{**one["runtimes"][0], "programs": {name: fine}}]} for name in ("b", "a")]
    run = report.merged(parts)
    assert list(run["runtimes"][0]["programs"]) == ["a", "b"] and run["date"] == "yesterday"
    section = report.machine_section(run, KNOWN, KNOWN, report.AARCH64, "hack/test --arch=aarch64")
    page = report.replaced("# Page\n\n## Old\n", section)
    assert page.startswith(f"# Page\n\n## Old\n\n## {report.AARCH64}\n\nThis is")
    assert "| programs ok | 2 |" in page and "| a | ok (2) |" in page and "(`hack/test --arch=aarch64`)" in page
    assert report.replaced(page, section) == page


def test_a_program_that_ran_again():
    """Its last result counts, and the facts say that there were several runs."""
    runs = [
        {
            "commit": commit,
            "runtimes": [{"name": "ocirt", "version": ["0.2", f"commit: {commit}"], "programs": programs}],
        }
        for commit, programs in (("a1", {"one": 1, "two": 1}), ("b2", {"two": 2}), ("b2", {"three": 2}))
    ]
    run = report.merged(runs)
    assert run["commit"] == "a1; b2" and run["runtimes"][0]["version"] == ["0.2", "commit: a1", "commit: b2"]
    assert run["runtimes"][0]["programs"] == {"one": 1, "three": 2, "two": 2}


@pytest.mark.parametrize(
    "words, message",
    [
        (["--docs", "--runtime", "runc"], "--docs"),
        (["--jobs", "0"], "--jobs"),
        (["--limit", "0"], "--limit"),
        (["--within", "0"], "--within"),
    ],
)
def test_flags_that_cannot_be(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        __main__.arguments(words)
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_flags():
    assert __main__.arguments([]).runtime == [__main__.OURS]
    whole = __main__.arguments(["--docs"])
    assert whole.runtime == [__main__.OURS, "runc", "crun"] and whole.markdown == __main__.DOCS
    assert __main__.is_strict(Runtime("x", "/x", ("ocirt version 1",)))
    assert not __main__.is_strict(Runtime("ocirt", "/x", ("runc version 1",)))


def test_without_a_new_run_in_the_machine_the_page_keeps_the_old_one(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    monkeypatch.setattr(__main__, "DOCS", page)
    monkeypatch.setattr(__main__, "MACHINE", tmp_path / "missing.json")
    run = report.summary(json.loads(report.to_json(report.Report((AWAY,), {"date": "yesterday"}))))
    page.write_text(report.to_markdown(REPORT, KNOWN, report.machine_section(run, KNOWN, KNOWN)))
    kept = __main__._machine(__main__.arguments(["--docs"]), KNOWN)
    assert report.to_markdown(REPORT, KNOWN, kept) == page.read_text() and "- date: yesterday" in page.read_text()


def test_without_a_run_on_aarch64_the_page_keeps_that_section(tmp_path, monkeypatch, capsys):
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    monkeypatch.setattr(__main__, "DOCS", page)
    monkeypatch.setattr(__main__, "MACHINE", results)
    monkeypatch.setattr(__main__, "DRIVER", tmp_path / "missing.json")
    monkeypatch.setattr(__main__, "AARCH64", tmp_path / "missing.json")
    run = report.summary(json.loads(report.to_json(report.Report((AWAY,), {"date": "today"}))))
    results.write_text(json.dumps(run))
    section = ["", f"## {report.AARCH64}", "", "Of yesterday."]
    page.write_text("\n".join(["# Page", *section, ""]))
    kept = __main__._machine(__main__.arguments(["--docs"]), KNOWN)
    assert "- date: today" in kept and kept[-4:] == section
    assert __main__.main(["--docs-aarch64"]) == 1 and "missing.json" in capsys.readouterr().err


def test_the_driver_beside_crun():
    measured = {
        "date": "today",
        "commit": "abc",
        "rounds": 5,
        "milliseconds": {"ocirt": {"create": 50.0}, "crun": {"create": 100.0}},
        "quarter": {"ocirt": {"create": 30.0}, "crun": {"create": 90.0}},
    }
    text = "\n".join(report.driver_section(measured))
    assert "ocirt and crun in turns, 5 rounds" in text and "commit abc, today" in text
    assert text.endswith("| create | 50 | 100 | 0.50 | 0.33 |")
