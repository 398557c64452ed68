"""conformance/tap.py: what the runtime-tools programs print."""

import json

import pytest

from conformance.tap import parse


def outcomes(text):
    return [(test.outcome, test.description) for test in parse(text).tests]


def test_lines_of_tests():
    text = "TAP version 13\nok 1 - it works\nnot ok 2 - it MUST - always\nok\nnot ok 4\nokay no test\n1..4\n"
    assert outcomes(text) == [("ok", "it works"), ("not ok", "it MUST - always"), ("ok", ""), ("not ok", "")]
    assert parse(text).problems == []


def test_a_skip_is_no_pass():
    (skip, todo) = parse("1..2\nok 1 # SKIP no such platform\nnot ok 2 - later # TODO it\n").tests
    assert (skip.outcome, skip.description, skip.reason) == ("skip", "no such platform", "no such platform")
    assert (todo.outcome, todo.description, todo.reason) == ("not ok", "later", "it")


def test_diagnostics_belong_to_the_test_before():
    text = (
        'ok 1 - a\n# expect: 1\n  ---\n  {\n    "error": "x",\n    "reference": "y"\n  }\n  ...\n'
        "ok 2 - b\n  ---\n  { 100%!d(MISSING)\n  ...\n1..2\n"
    )
    first, second = parse(text).tests
    assert first.facts == {"error": "x", "reference": "y"} and first.notes == ["expect: 1"]
    assert second.facts == "  { 100%!d(MISSING)"
    assert parse(text).complaints == []


def test_the_run_inside_stands_before_the_test_that_judges_it():
    inner = json.dumps({"stdout": "TAP version 13\nok 1 - a\nnot ok 2 - the path MUST be masked\n1..2\n"})
    text = f"TAP version 13\n  ---\n  {inner}\n  ...\nnot ok 1 - masked\n1..1\n"
    (test,) = parse(text).tests
    assert [inner.description for inner in test.inner] == ["a", "the path MUST be masked"]
    assert test.failures() == ["the path MUST be masked"]


def test_subtests():
    (test,) = parse("    ok 1 - a\n    not ok 2 - b\n    1..2\nnot ok 1 - both\n1..1\n").tests
    assert test.failures() == ["b"]


def test_a_failure_with_nothing_inside_failing_is_its_own():
    (test,) = parse("    ok 1 - a\n    1..1\nnot ok 1 - both\n1..1\n").tests
    assert test.failures() == ["both"]


@pytest.mark.parametrize(
    "text, problems",
    [
        ("", ["no test"]),
        ("TAP version 13\n1..0\n", ["no test"]),
        ("TAP version 13\n", ["no test"]),
        ("ok 1\n", ["no plan"]),
        ("1..3\nok 1\nok 2\n", ["3 tests planned, 2 run"]),
        ("1..1\nok 1\nok 2\n", ["1 tests planned, 2 run"]),
        ("1..1\n1..1\nok 1\n", ["a second plan"]),
        ("1..1\nok 1\nBail out! no root\n", ["Bail out! no root"]),
        ("TAP version 13\nok 1\n1..1\nTAP version 13\nok 1\nok 2\n1..2\n", []),
        ("TAP version 13\nok 1\n1..1\nTAP version 13\nok 1\n1..2\n", ["2 tests planned, 1 run"]),
        ("TAP version 13\nok 1\n1..1\nTAP version 13\n1..0\n", []),
        ("TAP version 13\n1..2\n", ["no test", "2 tests planned, 0 run"]),
    ],
)
def test_what_is_wrong_with_the_stream(text, problems):
    assert parse(text).problems == problems


def test_an_error_without_a_test_is_a_complaint():
    said = '  ---\n  {\n    "error": "Hooks MUST be called in the listed order\\nRefer to: x"\n  }\n  ...\n'
    assert parse(f"TAP version 13\n{said}1..0\n").complaints == ["Hooks MUST be called in the listed order"]
    assert parse(f"TAP version 13\n{said}not ok 1 - a\n1..1\n").complaints == []
