"""State directories that an older build has left: tests/fault/data has one a release, made by its `create`, of a container
whose process has gone since (a restart of the host). This build tells their state, lists and deletes them."""

import json
import shutil
from pathlib import Path

import pytest

from tests.integration.harness import left_cgroups

RELEASES = sorted(path.name for path in (Path(__file__).parent / "data").iterdir())


@pytest.fixture(params=RELEASES)
def old(request, ocirt):
    """The container ``old`` of a release."""
    ocirt.root.mkdir(mode=0o700)
    place = ocirt.root / "old"
    shutil.copytree(Path(__file__).parent / "data" / request.param, place)
    place.chmod(0o700)
    return place


def test_state_list_and_delete(ocirt, old, tmp_path):
    """Its programs are another build's: they are compiled anew from config.json and request, which are the format that stays.
    The poststop hook gets the state (runtime.md, Lifecycle 13)."""
    said = Path("/tmp/ocirt-test-poststop")
    said.unlink(missing_ok=True)
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
        assert json.loads(said.read_text())["status"] == "stopped"
    finally:
        said.unlink(missing_ok=True)
    assert ocirt.ids() == [] and left_cgroups() == []


def test_without_its_program(ocirt, old):
    """Not even the program is needed."""
    (old / "program").unlink()
    assert ocirt.status("old") == "stopped"
    ocirt.ok("delete", "--force", "old")
    Path("/tmp/ocirt-test-poststop").unlink(missing_ok=True)
    assert ocirt.ids() == []
