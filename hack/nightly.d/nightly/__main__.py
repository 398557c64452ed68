"""hack/nightly."""

import datetime
import json
import subprocess
import sys

from conformance.commit import commit

from .lanes import LANES, TREE, VERSIONS, Lane
from .page import page
from .results import Record, commits, failed, nothing, parts

JSON, PAGE = TREE / "docs/hosts.json", TREE / "docs/hosts.md"
LOGS = TREE / "build/nightly"


def facts(lane: Lane) -> dict[str, str]:
    """What the lane's host is."""
    done = subprocess.run(
        [*lane.inside, "sh", "-c", VERSIONS], cwd=TREE, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)


def run(lane: Lane) -> Record:
    """Run a lane.

    :returns: its record. A lane that ends without results, or with a status that its results do not explain, has that
        as its failure.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in lane.files():
        old.unlink()
    with open(LOGS / f"{lane.name}.log", "w") as log:
        status = subprocess.run(
            lane.command, cwd=TREE, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        ).returncode
    record = record_of(lane)
    if not lane.results.exists() or (status != 0 and not failed(record)):
        failure = f"status {status}" + ("" if lane.results.exists() else ", no results")
        record["parts"]["the lane"] = {**nothing(), "failed": [failure]}
    return record


def record_of(lane: Lane) -> Record:
    """The record of the results that there are of a lane."""
    return {
        "host": lane.host,
        "date": datetime.date.today().isoformat(),
        "commit": ", ".join(commits(*lane.files()) or [commit()]),
        "facts": facts(lane),
        "parts": parts(*lane.files()),
    }


def by_hand(lane: Lane, before: Record | None) -> Record:
    """The record of a lane of which somebody has run parts, which the page says. It keeps the parts of the record before
    that were not run again, with the commits of both.
    """
    if not lane.files():
        sys.exit(f"hack/nightly: --record {lane.name}: found no results, expected files beside {lane.results}")
    record = record_of(lane)
    kept = {name: part for name, part in (before or {"parts": {}})["parts"].items() if name not in record["parts"]}
    if before and kept:
        both = (*before["commit"].split(", "), *record["commit"].split(", "))
        record |= {"commit": ", ".join(dict.fromkeys(both)), "parts": {**kept, **record["parts"]}}
    return {**record, "by hand": True}


def main(words: list[str]) -> int:
    """:returns: the exit status."""
    records: dict[str, Record] = json.loads(JSON.read_text()) if JSON.exists() else {}
    lanes = {lane.name: lane for lane in LANES}
    if words == ["--list"]:
        print(*(f"{lane.name}: {' '.join(lane.command)}" for lane in LANES), sep="\n")
        return 0
    only_recorded = words[:1] == ["--record"]
    words = words[1:] if only_recorded else words
    chosen = [] if words == ["--render"] else words or list(lanes)
    unknown = [word for word in chosen if word not in lanes]
    if unknown:
        print(f"hack/nightly: found {unknown[0]}, expected lanes: {', '.join(lanes)}", file=sys.stderr)
        return 2
    for name in chosen:
        print(f"hack/nightly: {name}", flush=True)
        records[name] = by_hand(lanes[name], records.get(name)) if only_recorded else run(lanes[name])
        # After each lane, so that a night that is cut off keeps what it has found.
        JSON.write_text(json.dumps({key: records[key] for key in lanes if key in records}, indent=1) + "\n")
    PAGE.write_text(page(json.loads(JSON.read_text())))
    bad = {name: failed(records[name]) for name in chosen if failed(records[name])}
    for name, tests in bad.items():
        print(f"hack/nightly: {name}: {len(tests)} failed: {', '.join(tests)}", file=sys.stderr)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
