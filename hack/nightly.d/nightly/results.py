"""Results of a lane: reading what pytest wrote, and the record that docs/hosts.json keeps."""

import re
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

from conformance.commit import commit

PROVED = re.compile(r"^(?:Skipped: )?(?P<failure>.*); with runc, too: ", re.DOTALL)
"""The reason of a test that fails with runc as well (tests/engines/proof.py)."""
REASON = 600
"""The most characters of a reason; the page shows less."""

Record = dict[str, Any]
"""A result: ``host``, ``date``, ``commit``, ``facts``, and ``parts``, name -> ``passed`` (a number), ``failed`` (names),
``left out`` (reason -> names), and ``files``, which says what passed: file -> how many of its tests. Older records have no
``files``. ``by hand`` is true if somebody ran parts of the lane.
"""


def part_of(classname: str, name: str) -> str:
    """The part of a host that a test is about: for an engine's test the engine, otherwise the folder of the tests. In the
    results of hack/conformance each class is a runtime and a program.
    """
    if "." not in classname:
        return "pytest"  # its own errors, when somebody interrupts it for example
    top, folder, *rest = classname.split(".")
    if top != "tests":
        return "conformance"
    if folder != "engines":
        return folder
    file = rest[0].removeprefix("test_")
    engine = re.search(r"\[(podman|docker|containerd|buildah|cri|rootless)\b", name)
    return f"{engine[1]}, {file}" if engine else file


def file_of(classname: str) -> str:
    """The file of a test, beneath the folder of the tests. In the results of hack/conformance, the runtime and the program."""
    top, *rest = classname.split(".")
    return "/".join(rest[1:]) + ".py" if top == "tests" else classname


def host_of(suite: str) -> str:
    """What the name of a file's suite says about its host: in guests whose kernel has other pages than most, run-tests
    (tests/vm/guest) names it by them.
    """
    return f", {suite}" if suite.startswith("pages of ") else ""


def reason_of(message: str) -> str:
    """A reason in one line."""
    proved = PROVED.match(message)
    if proved:
        message = f"runc fails, too: {proved['failure']}"
    line = " ".join(message.split())
    return line if len(line) <= REASON else line[: REASON - 1] + "…"


def commits(*paths: Path) -> list[str]:
    """The commits that the results are of: a file of a guest names the one at which it ran, and any other is of now."""
    roots = (xml.etree.ElementTree.parse(path).getroot() for path in paths)
    return list(dict.fromkeys(root.get("commit") or commit() for root in roots))


def nothing() -> Record:
    """A part of which no test has ended yet."""
    return {"passed": 0, "files": {}, "failed": [], "left out": {}}


def parts(*paths: Path) -> dict[str, Record]:
    """The parts of a result, from the files that pytest's --junitxml wrote."""
    found: dict[str, Record] = {}
    suites = (suite for path in paths for suite in xml.etree.ElementTree.parse(path).iter("testsuite"))
    for host, case in ((host_of(suite.get("name", "")), case) for suite in suites for case in suite.iter("testcase")):
        classname, name = case.get("classname", ""), case.get("name", "")
        part = found.setdefault(part_of(classname or name, name) + host, nothing())
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            part["failed"].append(name)
        elif skipped is not None:
            part["left out"].setdefault(reason_of(skipped.get("message", "")), []).append(name)
        else:
            part["passed"] += 1
            file = file_of(classname)
            part["files"][file] = part["files"].get(file, 0) + 1
    return found


def failed(record: Record) -> list[str]:
    """The names of what failed in a record."""
    return [name for part in record["parts"].values() for name in part["failed"]]
