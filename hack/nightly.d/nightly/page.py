"""The page docs/hosts.md."""

import re
from collections import Counter
from collections.abc import Iterable

from .results import Record

HEAD = """\
# Hosts

On which hosts, with which engines, the tests ran, and how that ended. `hack/nightly` writes this
page from [hosts.json](hosts.json), which keeps the last result of each lane;
[testing.md](testing.md) says what the lanes are. A test is left out only for a reason that the same
run has shown: the host lacks what the test needs, or the same test fails with runc as well. Each
reason stands here once for a host, shortened, with the number of tests; hosts.json has the names of
all tests that were left out or failed, and more of the reasons. For each part it also has the files
whose tests passed, with how many of each; the records of an older hack/nightly lack that.
"""
BY_HAND = "; not the whole lane, but parts of it that were run by hand"
REASON = 110
"""The most characters of a reason."""
NAMES = 4
"""The most names of tests beside a reason."""
NOISE = (
    (r"\b(?:[\w.]+\.)?(?:Cell|Assertion)Error: ", ""),
    # The beginning of a line of a log: its time, process and source.
    (r"\b[EWIF]\d{4} [\d:.]+ +\d+ [^] ]+\]? ?", ""),
    (r"\btime=\S+ level=\w+ ", ""),
    (r"\bstdout: stderr: ", "stderr: "),
    (r" Use -v to get more diff", ""),
    (r"\b[0-9a-f]{12,64}\b", "ID"),
    (r"/tmp/\S+/", "…/"),
)
"""What differs in each run, or says nothing to a reader: patterns, and what stands there instead."""


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def short(reason: str) -> str:
    """A reason without what makes two of a kind differ, no longer than a line."""
    for pattern, instead in NOISE:
        reason = re.sub(pattern, instead, reason)
    if len(reason) <= REASON:
        return reason
    return reason[: REASON - 1].rsplit(" ", 1)[0] + " …"


def named(tests: Iterable[str]) -> list[str]:
    """The names of tests, each once: a test that runs with several parameters has the number of them."""
    numbers = Counter(test.partition("[")[0] for test in tests)
    return [name if number == 1 else f"{name} ({number})" for name, number in numbers.items()]


def some(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - NAMES
    return ", ".join(names[:NAMES]) + (f" and {more} more" if more > 0 else "")


def left_out(parts: dict[str, Record]) -> list[str]:
    """The table of reasons: those of most tests first, each in one row."""
    found: dict[str, list[str]] = {}
    for name, part in sorted(parts.items()):
        for reason, tests in part["left out"].items():
            found.setdefault(short(reason), []).extend(f"{name}: {test}" for test in tests)
    if not found:
        return []
    rows = sorted(found.items(), key=lambda item: -len(item[1]))
    return [
        "",
        "| left out | why | tests |",
        "|---|---|---|",
        *(f"| {len(tests)} | {cell(reason)} | {cell(some(named(tests)))} |" for reason, tests in rows),
    ]


def section(record: Record) -> list[str]:
    """The lines of one host."""
    facts = ", ".join(f"{name} {value}" for name, value in record["facts"].items())
    lines = [
        f"## {record['host']}",
        f"<!-- {record['date']} -->",
        "",
        "| | |",
        "|---|---|",
        f"| tested | {record['date']}, commit {record['commit']}{BY_HAND if record.get('by hand') else ''} |",
        f"| host | {cell(facts)} |",
        "",
        "| part | passed | left out | failed |",
        "|---|---|---|---|",
    ]
    for name, part in sorted(record["parts"].items()):
        count = sum(map(len, part["left out"].values()))
        lines.append(f"| {cell(name)} | {part['passed']} | {count} | {cell(', '.join(named(part['failed']))) or 0} |")
    return [*lines, *left_out(record["parts"]), ""]


def page(records: dict[str, Record]) -> str:
    """The whole page."""
    lines = [line for record in records.values() for line in section(record)]
    return HEAD + "\n" + "\n".join(lines)
