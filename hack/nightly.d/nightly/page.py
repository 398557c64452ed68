"""The page docs/hosts.md."""

from .results import Record

HEAD = """\
# Hosts

On which hosts, with which engines, the tests ran, and how that ended. `hack/nightly` writes this
page from [hosts.json](hosts.json), which keeps the last result of each lane;
[testing.md](testing.md) says what the lanes are. A test is left out only for a reason that the same
run has shown: the host lacks what the test needs, or the same test fails with runc as well.
"""
BY_HAND = "; not the whole lane, but parts of it that were run by hand"


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


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
    reasons: dict[str, list[str]] = {}
    for name, part in sorted(record["parts"].items()):
        count = sum(map(len, part["left out"].values()))
        lines.append(f"| {cell(name)} | {part['passed']} | {count} | {cell(', '.join(part['failed'])) or 0} |")
        for reason, tests in part["left out"].items():
            reasons.setdefault(reason, []).extend(f"{name}: {test}" for test in tests)
    if reasons:
        lines += ["", "| left out | why |", "|---|---|"]
        lines += [f"| {cell(', '.join(tests))} | {cell(reason)} |" for reason, tests in reasons.items()]
    return [*lines, ""]


def page(records: dict[str, Record]) -> str:
    """The whole page."""
    lines = [line for record in records.values() for line in section(record)]
    return HEAD + "\n" + "\n".join(lines)
