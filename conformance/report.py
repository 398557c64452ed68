"""Show the results of a run: a table for the terminal, JSON, JUnit XML, and docs/conformance.md."""

from __future__ import annotations

import json
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO
from xml.etree import ElementTree

from .known import File, Known, Verdict
from .run import Result, Runtime

OUTCOMES = ("ok", "known", "left out", "not ok", "not run")
RARE = ("left out", "not run")
"""The outcomes that are shown only if there are any."""


@dataclass(frozen=True)
class Column:
    """One runtime, and its results by program."""

    runtime: Runtime
    results: dict[str, Result]
    verdicts: dict[str, Verdict]

    def count(self) -> Counter[str]:
        """outcome -> how many programs."""
        return Counter(verdict.outcome for verdict in self.verdicts.values())


@dataclass(frozen=True)
class Report:
    """A run: a :class:`Column` for each runtime, and ``facts`` about time and place: name -> words."""

    columns: tuple[Column, ...]
    facts: dict[str, str]


# ---- the terminal ----

HEAD = ("program", "", "ok", "not ok", "skipped", "seconds", "failures")
PLAIN = "{:32} {:8} {:>4} {:>6} {:>7} {:>7}  {}"


def _row(result: Result, verdict: Verdict) -> tuple[str, str, str, str, str, str]:
    return (
        result.program,
        verdict.outcome,
        str(result.count("ok")),
        str(result.count("not ok")),
        str(result.count("skip")),
        f"{result.seconds:.1f}",
    )


def _remarks(result: Result, verdict: Verdict) -> list[str]:
    return verdict.differences if verdict.outcome == "not ok" else result.failures()


def closing(column: Column) -> str:
    """One line with the summary."""
    count = column.count()
    return f"{column.runtime.name}: " + ", ".join(f"{count[outcome]} {outcome}" for outcome in _outcomes(count))


def _outcomes(count: Counter[str]) -> list[str]:
    """The outcomes to show."""
    return [outcome for outcome in OUTCOMES if outcome not in RARE or count[outcome]]


def show(column: Column, out: TextIO = sys.stdout) -> None:
    """Print the table of one runtime: with rich on a terminal that has it, otherwise plain."""
    if out.isatty():
        try:
            return _show_rich(column)
        except ModuleNotFoundError:
            pass
    print(PLAIN.format(*HEAD), file=out)
    for program, result in column.results.items():
        verdict = column.verdicts[program]
        first, *others = _remarks(result, verdict) or [""]
        print(PLAIN.format(*_row(result, verdict), first).rstrip(), file=out)
        for remark in others:
            print(PLAIN.format("", "", "", "", "", "", remark), file=out)
    print(closing(column), file=out)


def _show_rich(column: Column) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=column.runtime.name)
    for index, name in enumerate(HEAD):
        table.add_column(name, justify="right" if 2 <= index <= 5 else "left", no_wrap=index < 6)
    styles = {"ok": "green", "known": "yellow", "left out": "dim", "not ok": "bold red", "not run": "red"}
    for program, result in column.results.items():
        verdict = column.verdicts[program]
        name, outcome, *numbers = _row(result, verdict)
        table.add_row(name, Text(outcome, styles[outcome]), *numbers, Text("\n".join(_remarks(result, verdict))))
    console = Console()
    console.print(table)
    console.print(closing(column), highlight=False)


# ---- files ----


def to_json(report: Report) -> str:
    """The whole run, with every test."""
    return (
        json.dumps(
            {
                **report.facts,
                "runtimes": [
                    {
                        "name": column.runtime.name,
                        "path": column.runtime.path,
                        "version": list(column.runtime.version),
                        "programs": {
                            program: {
                                "outcome": column.verdicts[program].outcome,
                                "differences": column.verdicts[program].differences,
                                "failures": result.failures(),
                                "seconds": round(result.seconds, 2),
                                "errors": result.errors,
                                "tests": [{**asdict(test), "outcome": test.outcome} for test in result.tests],
                            }
                            for program, result in column.results.items()
                        },
                    }
                    for column in report.columns
                ],
            },
            indent=1,
        )
        + "\n"
    )


def to_junit(report: Report) -> str:
    """A suite for each program of each runtime. A known failure counts as skipped, with the failure as its message, and
    so does a program that is left out.
    """
    root = ElementTree.Element("testsuites", name="runtime-tools")
    for column in report.columns:
        for program, result in column.results.items():
            _junit_suite(root, column.runtime.name, result, column.verdicts[program])
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _junit_suite(root: ElementTree.Element, runtime: str, result: Result, verdict: Verdict) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=f"{runtime}.{result.program}", time=f"{result.seconds:.2f}")
    failed = "failure" if verdict.outcome == "not ok" else "skipped"

    def case(name: str, kind: str | None = None, message: str = "") -> None:
        element = ElementTree.SubElement(suite, "testcase", classname=f"{runtime}.{result.program}", name=_legal(name))
        if kind:
            ElementTree.SubElement(element, kind, message=_legal(message))

    for test in result.tests:
        if test.outcome == "not ok":
            case(test.description, failed, "; ".join(test.failures()))
        else:
            case(test.description, *(("skipped", test.reason) if test.outcome == "skip" else ()))
    for problem in [*result.problems, *result.complaints]:
        case("the program itself", failed, problem)
    if verdict.outcome == "left out":
        case("the program itself", "skipped", "left out, see known.toml")
    if verdict.outcome == "not run":
        case("the program itself", "skipped", "not run, the time had run out")
    if verdict.outcome == "not ok":
        case("as known.toml has it", "failure", "; ".join(verdict.differences))
    suite.set("tests", str(len(suite)))
    for kind, plural in (("failure", "failures"), ("skipped", "skipped")):
        suite.set(plural, str(sum(element.find(kind) is not None for element in suite)))


def _legal(text: str) -> str:
    """``text`` without the characters that XML 1.0 cannot represent."""
    return "".join(letter if letter in "\t\n" or letter >= " " else "\ufffd" for letter in text)


# ---- docs/conformance.md ----

MARKS = {"ok": "ok", "known": "known", "left out": "left out", "not ok": "**fails**", "not run": "not run"}
WIDTH = 100
"""Columns of a line of docs/conformance.md, except for tables and headings."""
MACHINE = "In a virtual machine with cgroup v2 and systemd"
AARCH64 = "On aarch64, in a virtual machine with cgroup v2"


def to_markdown(report: Report, known: File, machine: Sequence[str] = ()) -> str:
    """The page for people: every program with every runtime.

    :param known: the :class:`known.File` for this host.
    :param machine: further lines, from :func:`machine_section`.
    """
    names = [column.runtime.name for column in report.columns]
    lines = [
        "# Conformance",
        "",
        "This page shows the results of the public validation programs of OCI runtime-tools for each runtime, all from one "
        "run on one machine. `hack/conformance --docs` writes it; do not edit it.",
        "",
        *[f"- {name}: {words}" for name, words in report.facts.items()],
        *[f"- {column.runtime.name}: {'; '.join(column.runtime.version)}" for column in report.columns],
        "",
        "`ok`: every test passed, or was skipped because the config of the program does not ask for what the test looks at. "
        "`known`: the program must fail because of this machine or because of an error of its own. The section Known gives "
        "each reason, and `conformance/known.toml` has a proof for each, which the same run has executed. The numbers count "
        "tests: passed, + failed.",
        "",
        "Three programs race with the container that they start: killsig, pidfile and poststart. For all runtimes alike, "
        "the run makes these programs wait for the container (`PACED` in `conformance/run.py`).",
        "",
        _table_row(["", *names]),
        _table_row(["---"] * (len(names) + 1)),
    ]
    counts = [column.count() for column in report.columns]
    lines += [
        _table_row([f"programs {MARKS[outcome]}", *[str(count[outcome]) for count in counts]])
        for outcome in _outcomes(sum(counts, Counter()))
    ]
    lines += ["", "## Programs", "", _table_row(["program", *names]), _table_row(["---"] * (len(names) + 1))]
    for program in report.columns[0].results:
        lines.append(_table_row([program, *[_cell(column, program) for column in report.columns]]))
    lines += ["", "## Known", ""]
    for entry in known.entries:
        if any(
            entry.program in column.verdicts and column.verdicts[entry.program].outcome == "known"
            for column in report.columns
        ):
            lines += _explained(entry)
    lines += _left_out(known)
    for column in report.columns:
        failing = [program for program, verdict in column.verdicts.items() if verdict.outcome == "not ok"]
        if failing:
            lines += [f"## What fails with {column.runtime.name}", "", *_shared(column)]
            lines += [f"- {program}: {'; '.join(map(_plain, _reasons(column, program)))}" for program in failing]
            lines.append("")
    return "\n".join(map(fitted, [*lines, *machine])).rstrip() + "\n"


def fitted(line: str) -> str:
    """A line of the page, divided to the page's width; a table's row and a heading stay one line."""
    if len(line) <= WIDTH or line.startswith(("|", "#")):
        return line
    indent = line[: len(line) - len(line.lstrip(" "))]
    rest = "  " if line.startswith(("- ", "  ")) else ""
    return textwrap.fill(
        line.strip(),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _explained(entry: Known) -> list[str]:
    cause = {"host": "this machine", "program": "the program"}[entry.cause]
    return [f"**{entry.program}** ({cause}): {'; '.join(map(_plain, entry.failures))}.", f"  {entry.why}", ""]


def _left_out(known: File) -> list[str]:
    return [
        line
        for entry in known.left_out
        for line in (f"**Left out**: {_plain(', '.join(entry.programs))}.", f"  {entry.why}", "")
    ]


def summary(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a table needs of a run.

    :param document: the result of :func:`to_json`, parsed.
    :return: its facts and, as ``runtimes``, for each its name, version and ``programs``: name -> outcome, how many
        tests passed, how many failed, and failures.
    """

    def short(program: Mapping[str, Any]) -> dict[str, Any]:
        count = Counter(test["outcome"] for test in program["tests"])
        return {
            "outcome": program["outcome"],
            "ok": count["ok"],
            "not ok": count["not ok"],
            "failures": program["differences"] or program["failures"],
        }

    return {
        **document,
        "runtimes": [
            {
                "name": each["name"],
                "version": each["version"],
                "programs": {name: short(program) for name, program in each["programs"].items()},
            }
            for each in document["runtimes"]
        ],
    }


def merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One :func:`summary` of several with the same runtimes. Of a program that several of them have, the last one counts;
    a fact is what each of them says.
    """
    runtimes = []
    for at, each in enumerate(parts[0]["runtimes"]):
        columns = [part["runtimes"][at] for part in parts]
        programs = {name: one for column in columns for name, one in column["programs"].items()}
        lines = dict.fromkeys(line for column in columns for line in column["version"])
        runtimes.append({**each, "version": list(lines), "programs": dict(sorted(programs.items()))})
    facts = {name: "; ".join(dict.fromkeys(part[name] for part in parts)) for name in parts[0] if name != "runtimes"}
    return {**facts, "runtimes": runtimes}


def machine_section(
    run: Mapping[str, Any],
    known: File,
    here: File,
    title: str = MACHINE,
    lane: str = "hack/test tests/vm/test_conformance.py",
) -> list[str]:
    """The results of the public programs in a virtual machine.

    :param run: a :func:`summary`.
    :param known: the :class:`known.File` for that machine.
    :param here: the one for this host; its reasons are not repeated.
    :return: lines.
    """
    names = [each["name"] for each in run["runtimes"]]
    lines = [
        "",
        f"## {title}",
        "",
        f"This is a separate run (`{lane}`) in QEMU, by emulation. Programs that are left out, "
        "or not run because the time had run out, count neither as passed nor as failed.",
        "",
        *[f"- {name}: {words}" for name, words in run.items() if name != "runtimes"],
        *[f"- {each['name']}: {'; '.join(each['version'])}" for each in run["runtimes"]],
        "",
        _table_row(["", *names]),
        _table_row(["---"] * (len(names) + 1)),
    ]
    counts = [Counter(program["outcome"] for program in each["programs"].values()) for each in run["runtimes"]]
    lines += [
        _table_row([f"programs {MARKS[outcome]}", *[str(count[outcome]) for count in counts]])
        for outcome in _outcomes(sum(counts, Counter()))
    ]
    lines += ["", _table_row(["program", *names]), _table_row(["---"] * (len(names) + 1))]
    for name in run["runtimes"][0]["programs"]:
        found = [each["programs"][name] for each in run["runtimes"]]
        lines.append(_table_row([name, *[_mark(each["outcome"], each["ok"], each["not ok"]) for each in found]]))
    lines += ["", "These programs are known or left out only there:", ""]
    for entry in known.entries:
        if entry not in here.entries:
            lines += _explained(entry)
    return [*lines, *_left_out(known)]


def replaced(page: str, section: Sequence[str]) -> str:
    """The page with this section as its last one, instead of the one of the same heading."""
    heading = next(line for line in section if line.startswith("## "))
    return page.partition(f"{heading}\n")[0].rstrip() + "\n\n" + "\n".join(map(fitted, section)).strip() + "\n"


def driver_section(measured: Mapping[str, Any]) -> list[str]:
    """The measurements of tests/vm/test_driver.py in the virtual machine.

    :param measured: facts, ``rounds``, and ``milliseconds`` and ``quarter``: runtime -> verb -> number.
    :return: lines.
    """
    ours, peer = measured["milliseconds"]
    lines = [
        "",
        "## The systemd driver in that machine",
        "",
        f"`--systemd-cgroup`: {ours} and {peer} in turns, {measured['rounds']} rounds (`hack/test tests/vm/test_driver.py`); commit "
        f"{measured['commit']}, {measured['date']}. The times include systemd's own work. By emulation everything takes about ten "
        "times as long as elsewhere, so only the ratio means something. The last column is the ratio of 25th percentiles.",
        "",
        _table_row(["", f"{ours}, ms", f"{peer}, ms", "ratio", "25th percentile"]),
        _table_row(["---"] * 5),
    ]
    for verb, value in measured["milliseconds"][ours].items():
        other = measured["milliseconds"][peer][verb]
        quarters = [measured["quarter"][name][verb] for name in (ours, peer)]
        lines.append(
            _table_row(
                [verb, f"{value:.0f}", f"{other:.0f}", f"{value / other:.2f}", f"{quarters[0] / quarters[1]:.2f}"]
            )
        )
    return lines


def _shared(column: Column) -> list[str]:
    """A paragraph about a line that a runtime prints for most programs, if there is one."""
    said = Counter(words for result in column.results.values() for words in set(_said(result)))
    words, count = (said.most_common(1) or [("", 0)])[0]
    return [f"With {count} programs it prints: {_plain(words)}.", ""] if count > len(column.results) // 3 else []


def _said(result: Result) -> list[str]:
    """The runtime's own lines among the errors of a program: those that follow a line of the program."""
    return [line for before, line in zip(result.errors, result.errors[1:]) if before.startswith("failed to ")]


def _reasons(column: Column, program: str) -> list[str]:
    """Failures, and the runtime's reason if the program did not reach a test."""
    result = column.results[program]
    return column.verdicts[program].differences + (_said(result)[-1:] if not result.tests else [])


def _cell(column: Column, program: str) -> str:
    result = column.results[program]
    return _mark(column.verdicts[program].outcome, result.count("ok"), result.count("not ok"))


def _mark(outcome: str, passed: int, failed: int) -> str:
    numbers = f" ({passed}{f' + {failed}' if failed else ''})" if passed or failed else ""
    return MARKS[outcome] + numbers


def _table_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    """``text`` for Markdown, without temporary names."""
    return text.replace("\n", " ").replace("<", "\\<").replace("*", "\\*").replace("_", "\\_")
