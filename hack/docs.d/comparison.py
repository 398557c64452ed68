"""The tables of docs/comparison.md, from what hack/bench and hack/conformance have written:

python3 hack/docs.d/comparison.py    writes them into the page; hack/format does it
"""

import json
import re
import textwrap
from pathlib import Path
from statistics import median

TREE = Path(__file__).resolve().parents[2]
PAGE = TREE / "docs/comparison.md"
RUNTIMES = ("ocirt", "crun", "runc")
FURTHER = ("youki",)
"""Runtimes that have a column if the run had them."""
TIMES = {
    "create": "create a container",
    "start": "start it",
    "state": "its state",
    "kill": "kill it",
    "delete": "delete it",
    "life cycle": "all of these",
    "run true": "`run` of the program true",
    "exec true": "`exec` of the program true",
}
"""The work of docs/benchmark.json that the table shows -> its name there."""
MEMORY = "create: peak memory"


def times(benchmark: "dict[str, object]") -> str:
    """The table of times and memory.

    :param benchmark: docs/benchmark.json.
    """
    facts, samples = benchmark["facts"], medians(benchmark)
    assert isinstance(facts, dict)
    runtimes = [*RUNTIMES, *[each for each in FURTHER if each in facts["runtimes"]]]
    versions = "; ".join(facts["runtimes"].values())
    head = f"Medians of {facts['date']}, commit {facts['commit']}, {facts['host']}, back to back: {versions}."
    rows = ["| | " + " | ".join(runtimes) + " |", "|---" * (len(runtimes) + 1) + "|"]
    for work, name in TIMES.items():
        rows.append(f"| {name} | " + " | ".join([_cell(samples, work, each, 1000, "ms") for each in runtimes]) + " |")
    peaks = [_cell(samples, MEMORY, each, 1024, "MiB") for each in runtimes]
    return "\n".join([textwrap.fill(head, 100), "", *rows, "| peak memory of create | " + " | ".join(peaks) + " |"])


def _cell(samples: dict[tuple[str, str], float], work: str, runtime: str, unit: int, name: str) -> str:
    """A figure; a dash for work that the runtime cannot do."""
    return f"{samples[work, runtime] / unit:.1f} {name}" if (work, runtime) in samples else "-"


def medians(benchmark: "dict[str, object]") -> dict[tuple[str, str], float]:
    """Pairs of a work and a runtime -> the median of what was measured back to back, or without a pattern."""
    series = benchmark["series"]
    assert isinstance(series, list)
    return {
        (each["work"], each["runtime"]): median(each["samples"])
        for each in series
        if each["pattern"] in ("back to back", "")
    }


def conformance(page: str) -> str:
    """The table of programs.

    :param page: docs/conformance.md.
    """
    facts = {
        name: re.search(rf"^- {name}: (.*?)(?:; |$)", page, re.MULTILINE) for name in ("date", *RUNTIMES, *FURTHER)
    }
    date, *versions = [found[1] for name, found in facts.items() if found]
    table = re.search(r"^\|  \|.*?(?=\n\n)", page, re.MULTILINE | re.DOTALL)
    assert table and all(facts[name] for name in RUNTIMES), "docs/conformance.md has another form"
    head = f"{date}: {', '.join(versions)}."
    return f"{textwrap.fill(head, 100)}\n\n{table[0]}"


def filled(text: str) -> str:
    """The page with its tables."""
    tables = {
        "times": times(json.loads((TREE / "docs/benchmark.json").read_text())),
        "conformance": conformance((TREE / "docs/conformance.md").read_text()),
    }
    for name, table in tables.items():
        mark = f"<!-- {name}, written by hack/format -->\n"
        before, _, rest = text.partition(mark)
        text = f"{before}{mark}{table}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
