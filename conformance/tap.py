"""The Test Anything Protocol, version 13 with the subtests of 14, as the runtime-tools programs print it.

https://testanything.org/tap-version-13-specification.html. Their diagnostics are JSON between ``---`` and ``...``.
A program that runs another inside a container prints that one's output as the string ``stdout`` of a diagnostic
*before* the test that judges it.
"""

import json
import re
from dataclasses import dataclass, field

TEST = re.compile(r"(?P<verdict>not ok|ok)\b[ \t]*(?P<number>\d+)?[ \t]*(?:-[ \t]*)?(?P<rest>.*)")
DIRECTIVE = re.compile(r"(?:^|\s)#\s*(?P<kind>skip|todo)\S*\s*(?P<reason>.*)", re.IGNORECASE)
PLAN = re.compile(r"1\.\.(?P<count>\d+)\s*(?:#\s*(?P<reason>.*))?")
SUBTEST = "    "


@dataclass
class Test:
    """One test line and what is said of it.

    :ivar directive: ``"skip"``, ``"todo"`` or ``None``, with its ``reason``.
    :ivar notes: lines of comment that follow it.
    :ivar facts: the diagnostics after it: an object, or a string where it is no JSON.
    :ivar inner: the tests of another run that this one judges.
    """

    ok: bool
    description: str
    directive: str | None = None
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    facts: dict | str | None = None
    inner: list["Test"] = field(default_factory=list)

    @property
    def outcome(self):
        """``"ok"``, ``"not ok"``, or ``"skip"``, which is neither; a TODO is judged like any other test."""
        return "skip" if self.directive == "skip" else "ok" if self.ok else "not ok"

    def failures(self):
        """Descriptions of what failed, the innermost ones."""
        if self.outcome != "not ok":
            return []
        return [each for test in self.inner for each in test.failures()] or [self.description]


@dataclass
class Stream:
    """The tests of one run, in order, and what is wrong with the stream as such.

    :ivar planned: how many tests the plan announces, ``None`` without a plan.
    """

    tests: list[Test] = field(default_factory=list)
    planned: int | None = None
    problems: list[str] = field(default_factory=list)


def parse(text):
    """Read ``text``. Lines that are no TAP are passed over, as the protocol asks; a stream without any test, one that
    does not keep to its plan, and one that bails out have ``problems``."""
    stream, subtest, pending = Stream(), [], []
    lines = iter(text.splitlines())
    for line in lines:
        if line.strip() == "---":
            facts = _diagnostics(lines)
            if isinstance(facts, dict) and "stdout" in facts:
                pending += parse(facts["stdout"]).tests
            elif stream.tests:
                stream.tests[-1].facts = facts
        elif line.startswith(SUBTEST):
            subtest.append(line.removeprefix(SUBTEST))
        elif match := TEST.fullmatch(line):
            stream.tests.append(_test(match, pending + parse("\n".join(subtest)).tests))
            subtest, pending = [], []
        elif match := PLAN.fullmatch(line):
            if stream.planned is not None:
                stream.problems.append("a second plan")
            stream.planned = int(match["count"])
        elif line.startswith("#") and stream.tests:
            stream.tests[-1].notes.append(line[1:].strip())
        elif line.startswith("Bail out!"):
            stream.problems.append(line.strip())
    if not stream.tests:
        stream.problems.append("no test")
    elif stream.planned is None:
        stream.problems.append("no plan")
    elif stream.planned != len(stream.tests):
        stream.problems.append(f"{stream.planned} tests planned, {len(stream.tests)} run")
    return stream


def _test(match, inner):
    test = Test(match["verdict"] == "ok", match["rest"].strip(), inner=inner)
    if directive := DIRECTIVE.search(match["rest"]):
        test.description = match["rest"][:directive.start()].strip()
        test.directive, test.reason = directive["kind"].lower(), directive["reason"].strip()
        test.description = test.description or test.reason
    return test


def _diagnostics(lines):
    """The object, or text, up to the line ``...``, which is taken from ``lines`` too."""
    block = []
    for line in lines:
        if line.strip() == "...":
            break
        block.append(line)
    text = "\n".join(block)
    try:
        return json.loads(text)
    except ValueError:
        return text
