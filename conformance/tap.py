"""The Test Anything Protocol, version 13 with the subtests of 14, as the runtime-tools programs print it.

https://testanything.org/tap-version-13-specification.html. Their diagnostics are JSON between ``---`` and ``...``.
A program that runs another inside a container prints that one's output as the string ``stdout`` of a diagnostic
*before* the test that judges it. Some print two streams one after the other. Some print no test at all, and a
diagnostic with an ``error`` where something is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

TEST = re.compile(r"(?P<verdict>not ok|ok)\b[ \t]*(?P<number>\d+)?[ \t]*(?:-[ \t]*)?(?P<rest>.*)")
DIRECTIVE = re.compile(r"(?:^|\s)#\s*(?P<kind>skip|todo)\S*\s*(?P<reason>.*)", re.IGNORECASE)
PLAN = re.compile(r"1\.\.(?P<count>\d+)\s*(?:#\s*(?P<reason>.*))?")
SUBTEST = "    "
VERSION = "TAP version "


@dataclass
class Point:
    """A test point: one test line and what is said of it.

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
    facts: dict[str, Any] | str | None = None
    inner: list[Point] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """``"ok"``, ``"not ok"``, or ``"skip"``, which is neither; a TODO is judged like any other test."""
        return "skip" if self.directive == "skip" else "ok" if self.ok else "not ok"

    def failures(self) -> list[str]:
        """Descriptions of what failed, the innermost ones."""
        if self.outcome != "not ok":
            return []
        return [each for test in self.inner for each in test.failures()] or [self.description]


@dataclass
class Output:
    """All tests that a program has printed, in order, and what is wrong with the output as such.

    :ivar problems: no test at all, a plan that is missing or not kept, a bail out.
    :ivar complaints: errors of diagnostics that belong to no test.
    """

    tests: list[Point] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@dataclass
class _Stream:
    tests: list[Point] = field(default_factory=list)
    planned: int | None = None
    problems: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def check(self) -> _Stream:
        if self.planned is None:
            self.problems.append("no plan")
        elif self.planned != len(self.tests):
            self.problems.append(f"{self.planned} tests planned, {len(self.tests)} run")
        return self


def parse(text: str) -> Output:
    """Read ``text``. Lines that are no TAP are ignored, as the protocol requires."""
    streams: list[_Stream] = []
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(VERSION) and lines:
            streams.append(_parse(lines).check())
            lines = []
        lines.append(line)
    streams.append(_parse(lines).check())
    output = Output()
    for stream in streams:
        output.tests += stream.tests
        output.problems += stream.problems
        # Where tests follow, they say it.
        output.complaints += [] if stream.tests else stream.complaints
    if not output.tests:
        output.problems = ["no test", *[each for each in output.problems if each != "no plan"]]
    return output


def _parse(lines: Iterable[str]) -> _Stream:
    stream, rest = _Stream(), iter(lines)
    subtest: list[str] = []
    pending: list[Point] = []
    for line in rest:
        if line.strip() == "---":
            facts = _diagnostics(rest)
            if isinstance(facts, dict) and "stdout" in facts:
                pending += parse(facts["stdout"]).tests
            elif stream.tests:
                stream.tests[-1].facts = facts
            elif isinstance(facts, dict) and "error" in facts:
                stream.complaints.append(str(facts["error"]).partition("\n")[0])
        elif line.startswith(SUBTEST):
            subtest.append(line.removeprefix(SUBTEST))
        elif match := TEST.fullmatch(line):
            stream.tests.append(_test(match, pending + _parse(subtest).tests))
            subtest, pending = [], []
        elif match := PLAN.fullmatch(line):
            if stream.planned is not None:
                stream.problems.append("a second plan")
            stream.planned = int(match["count"])
        elif line.startswith("#") and stream.tests:
            stream.tests[-1].notes.append(line[1:].strip())
        elif line.startswith("Bail out!"):
            stream.problems.append(line.strip())
    return stream


def _test(match: re.Match[str], inner: list[Point]) -> Point:
    test = Point(match["verdict"] == "ok", match["rest"].strip(), inner=inner)
    if directive := DIRECTIVE.search(match["rest"]):
        test.description = match["rest"][: directive.start()].strip()
        test.directive, test.reason = directive["kind"].lower(), directive["reason"].strip()
        test.description = test.description or test.reason
    return test


def _diagnostics(lines: Iterator[str]) -> dict[str, Any] | str:
    """The object, or text, up to the line ``...``, which is taken from ``lines`` too."""
    block = []
    for line in lines:
        if line.strip() == "...":
            break
        block.append(line)
    text = "\n".join(block)
    try:
        found: dict[str, Any] = json.loads(text)
        return found
    except ValueError:
        return text
