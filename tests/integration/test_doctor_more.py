"""``ocirt doctor BUNDLE`` beside ``ocirt run``: what one foretells, the other meets."""

import json
import os

import pytest


def tmpfs(*options):
    return {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def mapped(count, first=0):
    """A user namespace of ``count`` ids: ten that containers use, and others from ``first`` on."""
    numbers = [*range(10), *range(first + 10, first + count)]
    ids = [{"containerID": number, "hostID": number, "size": 1} for number in numbers]
    return {"uidMappings": ids, "gidMappings": ids}


def overlay(tmp_path, count):
    for number in range(count):
        (tmp_path / f"l/{number}").mkdir(parents=True)
    lower = ":".join([f"{tmp_path}/l/{number}" for number in range(count)])
    return {"destination": "/mnt", "type": "overlay", "source": "overlay", "options": [f"lowerdir={lower}"]}


@pytest.fixture
def both(ocirt, bundle):
    """A function that gives doctor's faults, after a run that failed if, and only if, doctor has found one."""

    def faults():
        bundle.args("true").save()
        examined = ocirt("doctor", "--json", bundle)
        found = [each["found"] for each in json.loads(examined.out) if each["level"] == "fault"]
        ran = ocirt("run", "--bundle", bundle, "c1")
        assert bool(examined.status) == bool(found) == bool(ran.status), (found, ran)
        return found

    return faults


@pytest.mark.parametrize(
    "options, words",
    [
        (["nosuch=1"], "tmpfs refuses the option nosuch=1 (tmpfs: Unknown parameter 'nosuch')"),
        (["mode=0700,size=much"], "tmpfs refuses the option size=much (tmpfs: Bad value for 'size')"),
        (["ro", "", "size=50%", "mode=1777,uid=3,gid=4", "nr_inodes=3k", "lazytime"], ""),
    ],
)
def test_options_of_a_file_system(both, bundle, options, words):
    bundle.config["mounts"].append(tmpfs(*options))
    assert both() == ([f"mounts[{len(bundle.config['mounts']) - 1}]: {words}"] if words else [])


@pytest.mark.parametrize("count, faults", [(500, 0), (501, 1)])
def test_lower_directories_of_an_overlay(both, bundle, tmp_path, count, faults):
    bundle.config["mounts"].append(overlay(tmp_path, count))
    found = both()
    assert len(found) == faults and all("501 lower directories, and an overlay takes 500" in each for each in found)


@pytest.mark.parametrize("count, words", [(340, ""), (341, "341 entries, and the kernel takes 340")])
def test_maps_of_many_ids(both, bundle, count, words):
    bundle.namespace("user")
    bundle.config["linux"] |= mapped(count)
    assert both() == [f"linux.{name}Mappings: {words}" for name in ("uid", "gid") if words]


@pytest.mark.skipif(os.sysconf("SC_PAGE_SIZE") != 4096, reason="a larger page holds 340 entries of any size")
def test_a_map_that_is_longer_than_a_page(both, bundle):
    bundle.namespace("user")
    bundle.config["linux"] |= mapped(180, 10**9)
    found = both()
    assert len(found) == 2 and all(each.endswith("bytes, and the kernel takes 4095") for each in found)


def test_a_target_whose_links_lead_in_a_circle(both, bundle):
    (bundle.rootfs / "round").symlink_to("round")
    bundle.config["mounts"].append(tmpfs() | {"destination": "/round"})
    (found,) = both()
    assert found.endswith("links of the rootfs lead from /round in a circle")
