"""conformance/known.py: what fails as known.toml says, with a proof that holds, is known; all else is a failure."""

import pytest

from conformance.known import File, Known, LeftOut, judge, judge_left_out, load
from conformance.run import Result
from conformance.tap import Point, parse

MOST = {"v1": (24, 0), "v2": (14, 2)}
"""Entries of known.toml and programs' groups left out, on each kind of hosts. These numbers may only become smaller."""

ENTRY = Known("p", ("a MUST", "no plan"), "host", "why", "true")
FILE = File((ENTRY, Known("q", ("x",), "program", "why", "true")), {"p": 1})


def result(*failing, problems=(), ok=1, skips=1, program="p"):
    tests = [Point(True, "fine")] * ok + [Point(False, text) for text in failing] + [Point(True, "s", "skip")] * skips
    return Result(program, tests, list(problems))


def verdict(given, held=True, strict=True, file=FILE):
    found = judge(given, file, {entry: held for entry in file.entries}, strict)
    return found.outcome, found.differences


def test_skips_by_processor():
    """runtime-tools' own seccomp profile has rules for arch_prctl and modify_ldt on PCs, and one for ARM's own syscalls. One
    program has no profile.
    """
    files = [load(machine=name).skips for name in ("x86_64", "aarch64", "riscv64")]
    assert [each["process"] for each in files] == [39, 38, 37]
    assert [each["process_capabilities"] for each in files] == [32, 32, 32]


def test_nothing_fails():
    assert verdict(result(), file=File((), {"p": 1})) == ("ok", [])


def test_it_fails_as_the_file_says():
    assert verdict(result("a MUST", problems=["no plan"])) == ("known", [])


def test_another_failure():
    assert verdict(result("a MUST", "b MUST", problems=["no plan"])) == ("not ok", ["b MUST"])
    assert verdict(result("b MUST", program="r", skips=0)) == ("not ok", ["b MUST"])


def test_a_known_failure_that_does_not_come():
    outcome, differences = verdict(result("a MUST"))
    assert outcome == "not ok" and differences == ["does not fail any more, take it out of known.toml: no plan"]
    assert verdict(result())[0] == "not ok"


def test_a_proof_that_does_not_hold():
    outcome, differences = verdict(result("a MUST", problems=["no plan"]), held=False)
    assert outcome == "not ok"
    assert differences == ["the proof does not hold: a MUST", "the proof does not hold: no plan"]


def test_a_test_that_is_skipped_suddenly():
    assert verdict(result(skips=2), file=File((), {"p": 1})) == ("not ok", ["2 tests skipped, 1 expected"])
    assert verdict(result(skips=1), file=File((), {})) == ("not ok", ["1 tests skipped, 0 expected"])


def test_skips_alone_are_no_pass():
    assert verdict(result(ok=0), file=File((), {"p": 1}))[0] == "not ok"


def test_how_often_something_fails_counts():
    assert result("a", "a").failures() == ["a (2 times)"]
    file = File((Known("p", ("a (2 times)",), "host", "why", "true"),), {"p": 1})
    assert verdict(result("a", "a"), file=file)[0] == "known" and verdict(result("a"), file=file)[0] == "not ok"


def test_other_runtimes_may_pass_what_is_known():
    assert verdict(result(skips=5), strict=False) == ("ok", [])
    assert verdict(result("a MUST"), strict=False) == ("known", [])
    assert verdict(result("b MUST"), strict=False) == ("not ok", ["b MUST"])
    assert verdict(result("a MUST"), held=False, strict=False)[0] == "not ok"


def test_an_entry_whose_proof_was_not_run_explains_nothing():
    assert judge(result("a MUST"), FILE, {}, strict=False).differences == ["a MUST"]


def test_complaints_and_deaths_are_failures():
    output = parse('  ---\n  {"error": "it MUST"}\n  ...\n1..0\n')
    given = Result("r", output.tests, output.problems + ["killed by signal 9"], output.complaints)
    assert verdict(given) == ("not ok", ["no test", "killed by signal 9", "it MUST"])


@pytest.mark.parametrize("kind", MOST)
def test_the_list_only_shrinks(kind):
    file = load().at(kind)
    assert len(file.entries) <= MOST[kind][0] and len(file.left_out) <= MOST[kind][1]
    assert all(entry.why.strip() and entry.proof.strip() for entry in (*file.entries, *file.left_out))


def test_an_entry_is_about_one_kind_of_hosts():
    """Elsewhere it explains nothing, whatever its proof says."""
    entry = Known("p", ("a MUST",), "host", "why", "true", "v1")
    file = File((entry,), {})
    given = result("a MUST", skips=0)
    assert verdict(given, file=file.at("v1"))[0] == "known"
    assert judge(given, file.at("v2"), {entry: True}).differences == ["a MUST"]


def test_what_is_left_out_is_no_pass():
    entry = LeftOut(("p", "q"), "v2", "it cannot", "true")
    file = File((), {}, (entry,))
    assert (
        file.at("v2").reason("q") is entry and file.at("v1").reason("q") is None and file.at("v2").reason("r") is None
    )
    assert judge_left_out(entry, True).outcome == "left out"
    assert judge_left_out(entry, False).outcome == "not ok"


@pytest.mark.parametrize(
    "text, words",
    [
        ('[[known]]\nprogram = "p"\n', "known[0]"),
        ('[[known]]\nprogram = "p"\nfailures = []\ncause = "luck"\nwhy = ""\nproof = ""\n', "one of host, program"),
        ('[[known]]\nprogram = "p"\nfailures = []\ncause = "host"\nwhy = ""\nproof = ""\nruntime = ""\n', "known[0]"),
        (
            '[[known]]\nprogram = "p"\nfailures = ["a"]\ncause = "host"\nwhy = ""\nproof = ""\n' * 2,
            "a second entry for p: a",
        ),
        (
            '[[known]]\nprogram = "p"\nfailures = ["a"]\ncause = "host"\nwhy = ""\nproof = ""\n'
            '[[known]]\nprogram = "p"\nfailures = ["a"]\ncause = "host"\nwhy = ""\nproof = ""\nwhere = "v2"\n',
            "a second entry for p: a",
        ),
        (
            '[[known]]\nprogram = "p"\nfailures = []\ncause = "host"\nwhy = ""\nproof = ""\nwhere = "v3"\n',
            "known[0].where: found 'v3'",
        ),
        ('[[left_out]]\nprograms = ["p"]\nwhere = ""\nwhy = ""\nproof = ""\n', "left_out[0].where: found ''"),
        ('[[left_out]]\nwhere = "v2"\nwhy = ""\nproof = ""\n', "left_out[0]: 'programs'"),
    ],
)
def test_a_file_that_is_wrong(tmp_path, text, words):
    (tmp_path / "known.toml").write_text(text)
    with pytest.raises(ValueError) as error:
        load(tmp_path / "known.toml")
    assert words in str(error.value)
