"""``ocirt doctor BUNDLE``: users and groups, and their mappings."""

import pytest

from ocirt.cli.doctor import users
from ocirt.cli.doctor.finding import FAULT, GOOD
from ocirt.cli.spec import default, rootless
from ocirt.model.host import Host
from tests.unit.doctoring import box, texts, told

__all__ = ["box", "told"]  # fixtures of the tests here


def test_ids_that_are_mapped_twice(box, told):
    config = default()
    config["linux"]["namespaces"].append({"type": "user"})
    entries = [{"containerID": 0, "hostID": 1000, "size": 10}, {"containerID": 5, "hostID": 2000, "size": 10}]
    config["linux"] |= {"uidMappings": entries, "gidMappings": entries[:1]}
    (said,) = texts(box(config), FAULT)
    assert said == "linux.uidMappings[1]: containerID 5 is in linux.uidMappings[0], too"


def test_a_group_of_devpts_that_is_not_mapped(box):
    """`ocirt spec` gives the terminals to the group 5, and a small map does not have it."""
    config = default()
    config["linux"]["namespaces"].append({"type": "user"})
    for size, expected in ((6, 0), (4, 1)):
        entry = {"containerID": 0, "hostID": 0, "size": size}
        config["linux"] |= {"uidMappings": [entry], "gidMappings": [entry]}
        said = [each for each in texts(box(config), FAULT) if "is in no entry" in each]
        assert len(said) == expected, said
    (index,) = [number for number, each in enumerate(config["mounts"]) if each["type"] == "devpts"]
    place = config["mounts"][index]["options"].index("gid=5")
    assert said[0].startswith(f"mounts[{index}].options[{place}]: 5 is in no entry of linux.gidMappings; ")


@pytest.mark.parametrize(
    "facts, text, wanted, level",
    [
        ({"euid": 1000, "egid": 1000}, "1000:100000:65536\n", 165535, GOOD),
        ({"euid": 1000, "egid": 1000}, "1000:100000:65536\n", 165536, FAULT),
        ({"euid": 1000, "egid": 1000}, "", 100000, FAULT),
        ({"in_user_namespace": True}, "0 100000 65536\n", 65535, GOOD),
        ({"in_user_namespace": True}, "0 100000 65536\n", 65536, FAULT),
        ({}, "", 4000000000, GOOD),
    ],
)
def test_ids_of_the_host_that_the_caller_may_not_map(box, monkeypatch, facts, text, wanted, level):
    config = rootless(1000, 1000)
    for kind in ("uid", "gid"):
        config["linux"][f"{kind}Mappings"] = [{"containerID": 0, "hostID": wanted, "size": 1}]
    monkeypatch.setattr(users, "read", lambda path: text)
    real = Host.text
    monkeypatch.setattr(
        Host,
        "text",
        lambda self, path: text if path in ("/proc/self/uid_map", "/proc/self/gid_map") else real(self, path),
    )
    said = [each for each in texts(box(config, **facts), FAULT) if "may not map" in each]
    assert len(said) == (2 if level == FAULT else 0), said
    if said:
        assert said[0].startswith(
            f"linux.uidMappings[0]: the caller may not map the uids {wanted} to {wanted} of the host"
        )


def test_an_id_that_is_not_mapped(box):
    config = rootless(1000, 1000)
    config["process"]["user"] = {"uid": 0, "gid": 7}
    said = texts(box(config), FAULT)
    assert [each for each in said if each.startswith("process.user.gid: 7 is in no entry of linux.gidMappings")], said
