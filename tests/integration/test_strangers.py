"""Cgroups and processes that are not the container's: they are neither signalled nor frozen nor removed, whatever cgroupsPath names."""

import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.harness import OWN, PARENT, V2, hierarchies, left_cgroups, remove_cgroups

pytestmark = pytest.mark.cgroupfs


def folders(path, without=()):
    """``path`` beneath the mount of each hierarchy, made."""
    found = [top / path[1:] for top in hierarchies() if top.name not in without]
    for folder in found:
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("cpuset.cpus", "cpuset.mems") if folder.parts[4] == "cpuset" else ():
            # From the top down: a cpuset takes no process before it has both.
            for level in [*reversed(folder.parents), folder][5:]:
                if not (level / part).read_text().strip():
                    (level / part).write_text((level.parent / part).read_text())
    return found


@contextmanager
def stranger(*places):
    """A process in each of ``places``, cgroups of several hierarchies."""
    process = subprocess.Popen(["sleep", "600"])
    try:
        for folder in places:
            (folder / "cgroup.procs").write_text(str(process.pid))
        yield process
        assert process.poll() is None, "the stranger has been killed"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def no_cgroups(ocirt):
    yield
    for name in ocirt.ids():
        ocirt.ok("delete", "--force", name)
    remove_cgroups()


@pytest.mark.parametrize("place", ["", "/child", "/child/deep"])
def test_a_cgroup_with_processes_below_is_refused(ocirt, bundle, place):
    """And nothing of it is touched when create undoes what it has done."""
    made = folders(f"{OWN}{place}")
    with stranger(*made):
        message = ocirt.fails("create", "--bundle", bundle, "c1")
        assert "linux.cgroupsPath" in message and "it has processes in it" in message
        assert all(folder.exists() for folder in made) and ocirt.ids() == []


@pytest.mark.v1
@pytest.mark.parametrize("hierarchy", ["pids", "memory", "freezer", "systemd", "unified"])
def test_a_process_in_one_hierarchy_is_enough(ocirt, bundle, hierarchy):
    made = [folder for folder in folders(f"{OWN}/child") if folder.parts[4] == hierarchy]
    with stranger(*made):
        assert "it has processes in it" in ocirt.fails("create", "--bundle", bundle, "c1")


def used(ocirt, bundle):
    """A container in a cgroup that was there before, with empty children (but for that of the device rules: below)."""
    made = folders(f"{OWN}/child", without=("devices",)) + folders(f"{OWN}/other/deep", without=("devices",))
    ocirt.ok("create", "--bundle", bundle, "c1")
    return made


def test_an_empty_cgroup_is_used_and_stays_as_it_was(ocirt, bundle):
    made = used(ocirt, bundle)
    ocirt.ok("start", "c1")
    ocirt.ok("pause", "c1")
    ocirt.ok("delete", "--force", "c1")
    assert all(folder.exists() for folder in made)
    frozen = [
        folder
        for folder in made
        if (folder / "freezer.state").exists() and (folder / "freezer.state").read_text() != "THAWED\n"
    ]
    assert frozen == []


@pytest.mark.parametrize(
    "words", [("kill", "--all", "c1", "KILL"), ("kill", "--all", "c1", "TERM"), ("delete", "--force", "c1")]
)
def test_who_comes_later_into_a_child_of_others_is_left_alone(ocirt, bundle, words):
    bundle.without_namespace("pid").shell("sleep 600 & sleep 600").save()
    made = used(ocirt, bundle)
    ocirt.ok("start", "c1")
    with stranger(*made[: len(made) // 2]) as process:
        ocirt.ok(*words)
        time.sleep(0.2)
        assert process.poll() is None
        ocirt.ok("delete", "--force", "c1")
    assert all(folder.exists() for folder in made)
    assert not any((folder.parent / "cgroup.procs").read_text() for folder in made[: len(made) // 2])


def test_who_comes_later_is_not_frozen(ocirt, bundle):
    made = used(ocirt, bundle)
    with stranger(*made[: len(made) // 2]) as process:
        assert "child cgroup child" in ocirt.fails("pause", "c1")
        assert ocirt.status("c1") == "created"
        with open(f"/proc/{process.pid}/stat") as file:
            assert file.read().split()[2] == "S"
    ocirt.ok("pause", "c1")
    ocirt.ok("resume", "c1")


def test_what_the_container_has_made_below_goes(ocirt, bundle):
    """Also in a cgroup that was there before, and beside children of others."""
    bundle.without_namespace("pid").save()
    made = used(ocirt, bundle)
    later = [folder.parent / "made-later/deep" for folder in made[: len(made) // 2]]
    for folder in later:
        folder.mkdir(parents=True)
    pid = ocirt.state("c1")["pid"]
    if not V2:
        ocirt.ok("start", "c1")
        for folder in later:
            if folder.parts[4] not in ("cpuset", "unified"):
                (folder / "cgroup.procs").write_text(str(pid))
    ocirt.ok("delete", "--force", "c1")
    assert not any(folder.parent.exists() for folder in later) and all(folder.exists() for folder in made)
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or ") Z " in stat.read_text()  # its new parent may not have reaped it yet


@pytest.mark.v1
def test_the_kernel_takes_no_device_rules_above_others(ocirt, bundle):
    """Rules would have to hold below, too: the kernel refuses them, and the error says why."""
    made = folders(f"{OWN}/child")
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert "devices.deny" in message and "child cgroups" in message
    assert all(folder.exists() for folder in made)


def test_many_levels(ocirt, bundle):
    """Engines in containers of engines nest cgroups: each level of each hierarchy is undone."""
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/" + "/".join(f"level{number}" for number in range(40))
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("delete", "--force", "c1")
    assert left_cgroups() == []


def test_more_children_than_can_be_remembered(ocirt, bundle):
    made = folders(OWN, without=("devices",))[-1]
    for number in range(250):
        (made / f"child{number}").mkdir()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert "the journal has room for 240 cgroups" in message
    assert len([child for child in made.iterdir() if child.is_dir()]) == 250
