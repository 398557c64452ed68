"""Binds that the runtime opens before init: idmapped mounts (config.md, "Linux mount options"), those of a container with a
user namespace, and shared volumes."""

import pytest

from ocirt.compile.mounts import AHEAD
from ocirt.errors import ConfigError
from ocirt.plan import Plan
from ocirt.plan.steps import EVENTS, REGISTERS
from tests.unit.plans import config, names, no_cgroups, plan, shown

SHARED, SLAVE = 1 << 20, 1 << 19
HANDED = EVENTS.index("handed")
MAP = [{"containerID": 0, "hostID": 100000, "size": 65536}]
TWO = [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 2000, "size": 10}]
USERNS = {
    "linux__namespaces": [{"type": "mount"}, {"type": "user"}],
    "linux__uidMappings": MAP,
    "linux__gidMappings": TWO,
}


def opened(*options, on=None, entry={}, **changes):
    """The steps of the host for one bind, and the bind itself. Registers are counted from those."""
    mount = {"destination": "/d", "source": "/src", "options": ["bind", *options], **entry}
    made = plan(config(mounts=[mount], **changes), on)
    steps = [
        row for row in shown(made, "host", "MakeIdMapping", "OpenMount") if row[1].get("source") != "/bundle/rootfs"
    ]
    return steps, shown(made, "init", "Bind")


def registers(steps, bind):
    """The chain of registers from the mapping to the bind: they are the same ones."""
    mapping, mount = steps
    return mapping[1]["fd"] == mount[1]["mapping"] and mount[1]["fd"] == bind[1]["tree"]


def error(*options, entry={}, **changes):
    with pytest.raises(ConfigError) as caught:
        opened(*options, entry=entry, **changes)
    return str(caught.value)


def test_the_maps_of_the_mount_itself():
    host, (bind,) = opened("idmap", entry={"uidMappings": MAP, "gidMappings": TWO})
    assert host == [
        ("MakeIdMapping", {"fd": 0, "uids": "0 100000 65536\n", "gids": "0 1000 1\n1 2000 10\n"}),
        ("OpenMount", {"fd": 1, "source": "/src", "propagation": SLAVE, "mapping": 0, "leave": 1}),
    ]
    assert bind[1]["tree"] == 1


def test_maps_without_the_option_are_applied_all_the_same():
    host, _ = opened(entry={"uidMappings": MAP, "gidMappings": MAP})
    assert host[1][1]["mapping"] == 0 and "mapping_recursive" not in host[1][1]


def test_a_recursive_mapping():
    host, _ = opened("rbind", "ridmap", entry={"uidMappings": MAP, "gidMappings": MAP})
    assert host[1][1]["mapping_recursive"] == 1 and host[1][1]["recursive"] == 1


def test_without_maps_it_is_that_of_the_containers_user_namespace():
    host, (bind,) = opened("idmap", **USERNS)
    assert host[0][1] == {"fd": host[0][1]["fd"], "uids": "0 100000 65536\n", "gids": "0 1000 1\n1 2000 10\n"}
    assert registers(host, bind)
    joined = [{"type": "mount"}, {"type": "user", "path": "/ns/user"}]
    host, _ = opened("idmap", linux__namespaces=joined)
    assert [name for name, _ in host] == ["OpenMount"] and host[0][1][
        "mapping"
    ] == 0  # the one that OpenNamespace fills


@pytest.mark.parametrize(
    "text, uids, gids",
    [
        ("uids=0-1000-10#10-11-10;gids=0-100-10", "0 1000 10\n10 11 10\n", "0 100 10\n"),
        ("gids=5-6-7;uids=@3-1-4", "3 100001 4\n", "5 6 7\n"),
        ("uids=0-0-1;gids=@9-1-10#@8-0-1", "0 0 1\n", "9 2000 10\n8 1000 1\n"),
    ],
)
def test_maps_as_crun_has_them_in_the_option(text, uids, gids):
    for name in ("idmap", "ridmap"):
        host, (bind,) = opened(f"{name}={text}", **USERNS)
        assert (host[0][1]["uids"], host[0][1]["gids"]) == (uids, gids) and registers(host, bind)
        assert host[1][1].get("mapping_recursive", 0) == int(name == "ridmap")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", 'found "", expected uids=RANGES;gids=RANGES, a range being ID-HOST-SIZE'),
        ("uids=0-0-1", "found no gids, expected uids=RANGES;gids=RANGES"),
        ("uids=0-0-1;uids=0-0-1", "expected uids=RANGES"),
        ("uids=0-0;gids=0-0-1", 'found the range "0-0", expected ID-HOST-SIZE'),
        ("uids=0-x-1;gids=0-0-1", 'found the range "0-x-1", expected ID-HOST-SIZE'),
        ("uids=0-0-0;gids=0-0-1", 'found the range "0-0-0", expected ids of 32 bits'),
        ("uids=0-4294967295-1;gids=0-0-1", "expected ids of 32 bits"),
        (
            "uids=0-0-1;gids=@0-5-10",
            'found the range "@0-5-10", expected ids that the container\'s user namespace maps in one range',
        ),
    ],
)
def test_maps_that_cannot_be_read(text, message):
    found = error(f"idmap={text}", **USERNS)
    assert found.startswith(("config.json: mounts[0].options[1]: ", "mounts[0].options[1]: "))
    assert message in found


def test_there_must_be_maps_of_both_kinds():
    """config.md, Linux mount options: an error MUST be returned without any; POSIX-platform Mounts: both or neither."""
    assert 'options[1]: found "idmap", expected maps' in error("idmap")
    assert "mounts[0].gidMappings: found nothing, expected maps of both kinds" in error(
        "idmap", entry={"uidMappings": MAP}
    )
    assert "mounts[0].uidMappings: found nothing, expected maps of both kinds" in error(entry={"gidMappings": MAP})


def test_in_a_user_namespace_the_runtime_opens_every_source():
    host, (bind,) = opened("rbind", "src-nofollow", **USERNS)
    assert host == [
        (
            "OpenMount",
            {"fd": bind[1]["tree"], "source": "/src", "recursive": 1, "nofollow": 1, "propagation": SLAVE, "leave": 1},
        )
    ]
    # A user's engine starts the runtime in a user namespace, whose root owns what the container's root may not reach.
    # That namespace need not own the mount namespace.
    (inside,) = opened("bind", on=no_cgroups(in_user_namespace=True), **USERNS)[0]
    assert inside[1] == {"fd": 1, "source": "/src", "propagation": SLAVE, "leave": 1, "leave_refused": 1}
    assert opened("copy-symlink", **USERNS)[0] == []


def test_and_the_rootfs():
    made = plan(config(**USERNS))
    (host,), (rootfs,) = shown(made, "host", "OpenMount"), shown(made, "init", "OpenRootfs")
    assert host[1] == {"fd": rootfs[1]["tree"], "source": "/bundle/rootfs", "recursive": 1, "propagation": SLAVE}
    assert shown(plan(config()), "init", "OpenRootfs") == [("OpenRootfs", {"path": "/bundle/rootfs"})]


def test_it_does_so_before_init_is_there():
    order = names(plan(config(mounts=[{"destination": "/d", "source": "/s", "options": ["bind"]}], **USERNS)), "host")
    assert order.index("OpenMount") < order.index("Spawn")


def test_a_shared_volume_stays_a_peer_of_the_hosts():
    for option in ("shared", "rshared"):
        host, (bind,) = opened(option, linux__rootfsPropagation="shared")
        assert host == [("OpenMount", {"fd": 0, "source": "/src", "leave": 1})]
        assert bind[1]["propagation"] == SHARED
    # With any other propagation of the rootfs nothing of the host's is shared.
    assert opened("rshared")[0] == [] and opened("rslave", linux__rootfsPropagation="shared")[0] == []


def test_many_mounts_are_handed_over_one_at_a_time():
    """Each needs a descriptor until it is attached: those beyond AHEAD are opened while init is at work, into the same registers."""
    entries = [{"destination": f"/d{index}", "source": f"/s{index}", "options": ["bind"]} for index in range(AHEAD + 3)]
    entries[AHEAD + 1].update(uidMappings=MAP, gidMappings=MAP)
    made = plan(config(mounts=entries, **USERNS))
    host, init = names(made, "host"), names(made, "init")
    spawned = host.index("Spawn")
    assert host[:spawned].count("OpenMount") == AHEAD + 1  # and the rootfs
    assert [name for name in host[spawned:] if name in ("OpenMount", "MakeIdMapping", "MapLent", "Close")] == [
        "OpenMount",
        "MakeIdMapping",
        "OpenMount",
        "MapLent",
        "Close",
        "OpenMount",
    ]
    sent, received = [
        [step[1] for step in shown(made, section, name) if step[1]["event"] == HANDED]
        for section, name in (("host", "Send"), ("init", "Receive"))
    ]
    tree = shown(made, "host", "OpenMount")[-1][1]["fd"]
    assert sent == received == [{"event": HANDED, "first": tree, "count": 1, "optional": 1}] * 3
    first = init.index("Bind") + AHEAD
    assert init[first : first + 6] == ["Receive", "Bind"] * 3
    assert [step[1]["source"] for step in shown(made, "init", "Bind")] == [entry["source"] for entry in entries]


def test_their_mappings_go_along_where_init_may_map():
    entries = [{"destination": "/d", "source": "/s", "options": ["bind"], "uidMappings": MAP, "gidMappings": MAP}] * (
        AHEAD + 2
    )
    made = plan(config(mounts=entries))
    sent, received = [
        [step[1] for step in shown(made, section, name) if step[1]["event"] == HANDED]
        for section, name in (("host", "Send"), ("init", "Receive"))
    ]
    mapping = shown(made, "host", "MakeIdMapping")[-1][1]["fd"]
    assert sent == received == [{"event": HANDED, "first": mapping, "count": 2, "optional": 1}] * 2
    first = names(made, "init").index("Bind") + AHEAD
    assert names(made, "init")[first : first + 6] == ["Receive", "Bind", "Close"] * 2
    assert shown(made, "init", "Close") == [("Close", {"fd": mapping})] * 2 and "MapLent" not in names(made, "host")


def test_what_init_opens_in_a_user_namespace_the_runtime_maps():
    entry = {"destination": "/d", "source": "/s", "options": ["bind", "ridmap"], "uidMappings": MAP, "gidMappings": MAP}
    made = plan(
        config(
            mounts=[{**entry, "options": ["bind"]}, entry, {"destination": "/e", "source": "/s", "options": ["bind"]}],
            **USERNS,
        )
    )
    opened = [row[1] for row in shown(made, "host", "OpenMount")][1:]
    assert [row[1] for row in shown(made, "host", "MapLent")] == [
        {"fd": row["fd"], "source": "/s", "mapping": row["mapping"], "mapping_recursive": number}
        for number, row in enumerate(opened[:2])
    ]
    assert [(row[1]["tree"], row[1].get("lend"), row[1].get("mapping")) for row in shown(made, "init", "Bind")] == [
        (opened[0]["fd"], 1, None),
        (opened[1]["fd"], 1, None),
        (opened[2]["fd"], None, None),
    ]
    assert names(made, "host").index("Spawn") < names(made, "host").index("MapLent")


def test_there_is_an_end_to_descriptors():
    made = Plan(None)
    for number in range(REGISTERS):
        assert made.register() == number
    with pytest.raises(ConfigError, match="found more than 1024 files"):
        made.register()
