"""State directories that an older build has left: tests/fault/data has one a release, made by its `create`, of a container
whose process has gone since (a restart of the host). This build tells their state, lists and deletes them."""

import json
import re
import shutil
from pathlib import Path

import pytest

import ocirt as library
from tests.fault.keep_state import POSTSTOP, keep
from tests.integration.harness import TREE, left_cgroups

DATA = Path(__file__).parent / "data"
RELEASES = sorted(path.name for path in DATA.iterdir())


@pytest.fixture(params=[*RELEASES, "this build"])
def old(request, ocirt):
    """The container ``old`` of a release, or of this build, as its release will be kept."""
    ocirt.root.mkdir(mode=0o700)
    place = ocirt.root / "old"
    if request.param in RELEASES:
        shutil.copytree(DATA / request.param, place)
    else:
        keep(ocirt.executable, place)
    place.chmod(0o700)
    return place


def test_each_release_has_one():
    """From the moment when the tree has the number of the next one."""
    versions = set(re.findall(r"^## (\d\S+) - ", (TREE / "CHANGELOG.md").read_text(), re.M))
    assert versions - {library.__version__} <= set(RELEASES)


def test_state_list_and_delete(ocirt, old, tmp_path):
    """Its programs are another build's: they are compiled anew from config.json and request, which are the format that stays.
    The poststop hook gets the state (runtime.md, Lifecycle 13)."""
    POSTSTOP.unlink(missing_ok=True)
    state = ocirt.state("old")
    assert (state["id"], state["status"], state["pid"], state["annotations"]) == (
        "old",
        "stopped",
        0,
        {"made": "by an older build"},
    )
    assert [(each["id"], each["status"]) for each in json.loads(ocirt.ok("list", "--format", "json").out)] == [
        ("old", "stopped")
    ]
    assert "stopped" in ocirt.fails("start", "old") and "not running" in ocirt.fails("kill", "old")
    try:
        ocirt.ok("delete", "old")
        assert json.loads(POSTSTOP.read_text())["status"] == "stopped"
    finally:
        POSTSTOP.unlink(missing_ok=True)
    assert ocirt.ids() == [] and left_cgroups() == []


def test_without_its_program(ocirt, old):
    """Not even the program is needed."""
    (old / "program").unlink()
    assert ocirt.status("old") == "stopped"
    ocirt.ok("delete", "--force", "old")
    POSTSTOP.unlink(missing_ok=True)
    assert ocirt.ids() == []
