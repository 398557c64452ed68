"""conformance/ in the guest: the public runtime-tools programs on cgroup v2; nothing fails, or passes, but as known.toml says.

What it gave, with date and commit, stands in build/vm/conformance.json for `hack/conformance --docs` (in
build/vm/SUITE/conformance.json for another suite).
"""

import json
import shutil
from collections import Counter

import pytest

from conformance import build, known
from conformance.__main__ import MACHINE
from conformance.commit import commit
from conformance.report import summary
from tests.vm.machine import GUEST, RESULTS

FILE = known.load().at("v2")


@pytest.fixture(scope="module")
def suite():
    return build.suite()


@pytest.fixture(scope="module")
def found(suite, boot, report, tmp_path_factory):
    """The programs of the guest's :func:`summary`, by name."""
    share = tmp_path_factory.mktemp("share")
    shutil.copytree(suite.folder, share / "cache/ocirt-conformance" / suite.folder.name)
    at = commit()
    guest = boot("conformance", GUEST / "run-conformance", share=share, timeout=1150)
    guest.wait()
    assert (share / "report.json").exists(), guest.end_of_log()
    short = summary({**guest.read_json("report.json"), "commit of ocirt": at})
    (RESULTS / MACHINE.name).write_text(json.dumps(short, indent=1) + "\n")
    (ours,) = short["runtimes"]
    assert ours["name"] == "ocirt"
    report("conformance", Counter(program["outcome"] for program in ours["programs"].values()))
    return ours["programs"]


def test_all_programs_are_there(suite, found):
    """Left out is what known.toml leaves out, nothing else."""
    assert len(suite.programs) == 58 and list(found) == suite.programs
    assert {name for name, program in found.items() if program["outcome"] == "left out"} == {
        name for entry in FILE.left_out for name in entry.programs
    }


def test_nothing_is_otherwise_than_known(found):
    assert {name: program["failures"] for name, program in found.items() if program["outcome"] == "not ok"} == {}
    assert sum(program["ok"] for program in found.values()) > 2000
