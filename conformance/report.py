"""Shows what programs said of runtimes: a table for the terminal, JSON, JUnit XML, and docs/conformance.md."""

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from xml.etree import ElementTree

OUTCOMES = ("ok", "known", "not ok")


@dataclass(frozen=True)
class Column:
    """One runtime: its :class:`run.Runtime`, and by program :class:`run.Result` and :class:`known.Verdict`."""

    runtime: object
    results: dict
    verdicts: dict

    def count(self):
        """outcome -> how many programs."""
        return Counter(verdict.outcome for verdict in self.verdicts.values())


@dataclass(frozen=True)
class Report:
    """A run: its :class:`Column` of each runtime, and ``facts`` of when and where: name -> words."""

    columns: tuple[Column, ...]
    facts: dict[str, str]


# ---- the terminal ----

HEAD = ("program", "", "ok", "not ok", "skipped", "seconds", "failures")
PLAIN = "{:32} {:6} {:>4} {:>6} {:>7} {:>7}  {}"


def _row(result, verdict):
    return (result.program, verdict.outcome, str(result.count("ok")), str(result.count("not ok")),
            str(result.count("skip")), f"{result.seconds:.1f}")


def _remarks(result, verdict):
    return verdict.differences if verdict.outcome == "not ok" else result.failures()


def closing(column):
    """One line that says it all."""
    count = column.count()
    return f"{column.runtime.name}: " + ", ".join(f"{count[outcome]} {outcome}" for outcome in OUTCOMES)


def show(column, out=sys.stdout):
    """Print the table of one runtime: with rich on a terminal that has it, else plain."""
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


def _show_rich(column):
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text
    table = Table(title=column.runtime.name)
    for index, name in enumerate(HEAD):
        table.add_column(name, justify="right" if 2 <= index <= 5 else "left", no_wrap=index < 6)
    styles = {"ok": "green", "known": "yellow", "not ok": "bold red"}
    for program, result in column.results.items():
        verdict = column.verdicts[program]
        name, outcome, *numbers = _row(result, verdict)
        table.add_row(name, Text(outcome, styles[outcome]), *numbers, Text("\n".join(_remarks(result, verdict))))
    console = Console()
    console.print(table)
    console.print(closing(column), highlight=False)


# ---- files ----

def to_json(report):
    """The whole run, every test of it."""
    return json.dumps({
        **report.facts,
        "runtimes": [{
            "name": column.runtime.name, "path": column.runtime.path, "version": list(column.runtime.version),
            "programs": {program: {
                "outcome": column.verdicts[program].outcome, "differences": column.verdicts[program].differences,
                "failures": result.failures(), "seconds": round(result.seconds, 2), "errors": result.errors,
                "tests": [{**asdict(test), "outcome": test.outcome} for test in result.tests],
            } for program, result in column.results.items()},
        } for column in report.columns],
    }, indent=1) + "\n"


def to_junit(report):
    """A suite for each program of each runtime. What is known counts as skipped, with the failure as its message."""
    root = ElementTree.Element("testsuites", name="runtime-tools")
    for column in report.columns:
        for program, result in column.results.items():
            _junit_suite(root, column.runtime.name, result, column.verdicts[program])
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _junit_suite(root, runtime, result, verdict):
    suite = ElementTree.SubElement(root, "testsuite", name=f"{runtime}.{result.program}", time=f"{result.seconds:.2f}")
    failed = {"known": "skipped", "not ok": "failure", "ok": "skipped"}[verdict.outcome]

    def case(name, kind=None, message=""):
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
    if verdict.outcome == "not ok":
        case("as known.toml has it", "failure", "; ".join(verdict.differences))
    suite.set("tests", str(len(suite)))
    for kind, plural in (("failure", "failures"), ("skipped", "skipped")):
        suite.set(plural, str(sum(element.find(kind) is not None for element in suite)))


def _legal(text):
    """``text`` without the characters that XML 1.0 has no way to write."""
    return "".join(letter if letter in "\t\n" or letter >= " " else "\ufffd" for letter in text)


# ---- docs/conformance.md ----

MARKS = {"ok": "ok", "known": "known", "not ok": "**fails**"}


def to_markdown(report, known):
    """The page for people: every program with every runtime.

    :param known: the :class:`known.File`.
    """
    names = [column.runtime.name for column in report.columns]
    lines = ["# Conformance",
             "",
             "What the public validation programs of OCI runtime-tools say of runtimes, all in one run on one machine. "
             "Made by `hack/conformance --docs`; do not edit.",
             "",
             *[f"- {name}: {words}" for name, words in report.facts.items()],
             *[f"- {column.runtime.name}: {'; '.join(column.runtime.version)}" for column in report.columns],
             "",
             "`ok`: every test passed, or was skipped because the program does not ask for what it looks at. `known`: "
             "it fails, and has to: this machine, or the program itself, leaves no other way (below, each with a proof "
             "that the same run has executed: `conformance/known.toml`). Numbers are of tests: passed, + failed.",
             "",
             "Three programs race with the container that they start: killsig, pidfile and poststart. For all runtimes "
             "alike they are made to wait for it (`PACED` in `conformance/run.py`).",
             "",
             _table_row(["", *names]), _table_row(["---"] * (len(names) + 1))]
    lines += [_table_row([f"programs {MARKS[outcome]}", *[str(column.count()[outcome]) for column in report.columns]])
              for outcome in OUTCOMES]
    lines += ["", "## Programs", "", _table_row(["program", *names]), _table_row(["---"] * (len(names) + 1))]
    for program in report.columns[0].results:
        lines.append(_table_row([program, *[_cell(column, program) for column in report.columns]]))
    lines += ["", "## Known", ""]
    for entry in known.entries:
        if any(column.verdicts[entry.program].outcome == "known" for column in report.columns):
            cause = {"host": "this machine", "program": "the program"}[entry.cause]
            lines += [f"**{entry.program}** ({cause}): {'; '.join(map(_plain, entry.failures))}.", f"  {entry.why}", ""]
    for column in report.columns:
        failing = [program for program, verdict in column.verdicts.items() if verdict.outcome == "not ok"]
        if failing:
            lines += [f"## What fails with {column.runtime.name}", "", *_shared(column)]
            lines += [f"- {program}: {'; '.join(map(_plain, _reasons(column, program)))}" for program in failing]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _shared(column):
    """A paragraph on what a runtime says to most programs, if it does."""
    said = Counter(words for result in column.results.values() for words in set(_said(result)))
    words, count = (said.most_common(1) or [("", 0)])[0]
    return [f"With {count} programs it says: {_plain(words)}.", ""] if count > len(column.results) // 3 else []


def _said(result):
    """The runtime's own lines among the errors of a program, which are those that follow a line of the program's."""
    return [line for before, line in zip(result.errors, result.errors[1:]) if before.startswith("failed to ")]


def _reasons(column, program):
    """Failures, and what the runtime said of it where the program did not come to a test."""
    result = column.results[program]
    return column.verdicts[program].differences + (_said(result)[-1:] if not result.tests else [])


def _cell(column, program):
    result, outcome = column.results[program], column.verdicts[program].outcome
    failed = result.count("not ok")
    numbers = f" ({result.count('ok')}{f' + {failed}' if failed else ''})" if result.tests else ""
    return MARKS[outcome] + numbers


def _table_row(cells):
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(text):
    """``text`` for Markdown, without temporary names."""
    return text.replace("\n", " ").replace("<", "\\<").replace("*", "\\*").replace("_", "\\_")
