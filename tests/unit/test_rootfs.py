"""config.md, "Root"; config-linux.md, "Rootfs Mount Propagation", "Devices", "Masked Paths", "Readonly Paths",
"Sysctl"."""

import pytest

from ocirt.compile.rootfs import split
from ocirt.errors import ConfigError
from ocirt.plan.check import fault_of
from ocirt.plan.steps import RDONLY
from tests.unit.plans import config, names, no_cgroups, plan, shown, steps, values

UNBINDABLE, PRIVATE, SLAVE, SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20
LOWER, UPPER, WORK = "org.ocirt.rootfs.lower", "org.ocirt.rootfs.upper", "org.ocirt.rootfs.work"


def error(members, on=None, **words):
    with pytest.raises(ConfigError) as caught:
        plan(members, on, **words)
    return str(caught.value).removeprefix("config.json: ")


# ---- the root ----


def test_a_relative_path_is_the_bundles():
    made = plan(config(root={"path": "rootfs"}), bundle="/some/bundle")
    assert shown(made, "init", "OpenRootfs") == [("OpenRootfs", {"path": "/some/bundle/rootfs"})]
    assert made.facts.rootfs == made.init[names(made, "init").index("OpenRootfs")].path


def test_an_absolute_path():
    assert shown(plan(config(root={"path": "/r"})), "init", "OpenRootfs") == [("OpenRootfs", {"path": "/r"})]


def test_read_only():
    made = plan(config(root={"path": "r", "readonly": True}))
    assert shown(made, "init", "SetMountAttributes") == [
        ("SetMountAttributes", {"target": "/", "set": 1, "propagation": PRIVATE})
    ]
    order = names(made, "init")
    assert order.index("PivotRoot") < order.index("SetMountAttributes") < order.index("Send")


def test_no_pivot():
    assert "MoveRoot" in names(plan(config(), no_pivot="1"), "init")
    assert "PivotRoot" not in names(plan(config(), no_pivot="1"), "init")


@pytest.mark.parametrize(
    "root, message",
    [
        (..., "root: found nothing, expected an object"),
        ({}, "root.path: found nothing, expected a string"),
        ({"path": ""}, 'root.path: found "", expected the path of a directory'),
        ({"path": "r", "readonly": "yes"}, 'root.readonly: found "yes", expected true or false'),
    ],
)
def test_roots_that_cannot_be(root, message):
    assert error(config(root=root)) == message


@pytest.mark.parametrize(
    "value, before, after, after_all",
    [
        (None, SLAVE, PRIVATE, 0),
        ("", SLAVE, PRIVATE, 0),
        ("slave", SLAVE, PRIVATE, 0),
        ("rslave", SLAVE, PRIVATE, SLAVE),
        ("private", PRIVATE, 0, 0),
        ("rprivate", PRIVATE, 0, 0),
        ("shared", SLAVE, SHARED, 0),
        ("rshared", SLAVE, SHARED, SHARED),
        ("unbindable", PRIVATE, UNBINDABLE, 0),
        ("runbindable", PRIVATE, UNBINDABLE, UNBINDABLE),
    ],
)
def test_propagation(value, before, after, after_all):
    made = plan(config(linux__rootfsPropagation=value))
    assert shown(made, "init", "SetPropagation") == [("SetPropagation", {"propagation": before, "recursive": 1})]
    of_root = {"target": "/", "set": 0, "propagation": after}
    of_all = {"target": "/", "set": 0, "recursive": 1, "propagation": after_all}
    wanted = [of_root] * (after != after_all) + [of_all] * bool(after_all)
    assert [each for _, each in shown(made, "init", "SetMountAttributes")] == wanted


def test_a_read_only_root_of_which_all_mounts_are_shared():
    made = plan(config(root={"path": "r", "readonly": True}, linux__rootfsPropagation="rshared"))
    assert [each for _, each in shown(made, "init", "SetMountAttributes")] == [
        {"target": "/", "set": RDONLY, "propagation": SHARED},
        {"target": "/", "set": 0, "recursive": 1, "propagation": SHARED},
    ]


def test_a_propagation_that_is_none():
    assert error(config(linux__rootfsPropagation="public")) == (
        'linux.rootfsPropagation: found "public", expected shared, slave, private or unbindable'
    )


# ---- the overlay ----


def overlay(**notes):
    return config(annotations={f"org.ocirt.rootfs.{name}": value for name, value in notes.items()})


def test_an_overlay():
    made = plan(overlay(lower="/top:layers/base", upper="/u", work="w"), rootfs_annotations="1")
    assert shown(made, "init", "OverlayRootfs", "OpenRootfs") == [
        (
            "OverlayRootfs",
            {
                "lower": ["/top", "/bundle/layers/base"],
                "options": ["upperdir=/u", "workdir=/bundle/w", "redirect_dir=off", "metacopy=off"],
                "path": "/bundle/rootfs",
            },
        )
    ]
    # The layers are the image's, the same for many containers; the rest is the container's own.
    assert made.trace.guards[f'annotations["{LOWER}"]'] == "/top:layers/base"
    assert f'annotations["{UPPER}"]' not in made.trace.guards


def test_a_read_only_overlay():
    assert shown(plan(overlay(lower="/a"), rootfs_annotations="1"), "init", "OverlayRootfs") == [
        ("OverlayRootfs", {"lower": ["/a"], "path": "/bundle/rootfs"})
    ]


def test_an_overlay_in_a_user_namespace():
    """There only attributes of users can be written, and the kernel asks for the option to use them."""
    members = overlay(lower="/a", upper="/u", work="/w")
    members["linux"]["namespaces"].append({"type": "user"})
    members["linux"] |= {
        kind: [{"containerID": 0, "hostID": 1000, "size": 9}] for kind in ("uidMappings", "gidMappings")
    }
    ((_, step),) = shown(plan(members, rootfs_annotations="1"), "init", "OverlayRootfs")
    assert step["options"] == ["upperdir=/u", "workdir=/w", "userxattr"]
    members = overlay(lower="/a")
    ((_, step),) = shown(
        plan(members, no_cgroups(in_user_namespace=True), rootfs_annotations="1"), "init", "OverlayRootfs"
    )
    assert step["options"] == ["userxattr"]


def test_layers_with_colons():
    assert split(r"/a\:b:/c\\:d") == ["/a:b", "/c\\", "d"]
    assert split("a\\") == ["a\\"] and split("") == [""]


def test_what_is_asked_for_is_recorded():
    for flag in ("0", "1"):
        made = plan(config(annotations={"other": "x"}), rootfs_annotations=flag)
        assert [made.trace.tests["annotations", "has", name] for name in (LOWER, UPPER, WORK)] == [False] * 3


def test_only_with_a_flag():
    """Engines copy annotations from strangers, and these name directories of the host."""
    made = plan(overlay(lower="/", upper="/u", work="/w"))
    assert "OverlayRootfs" not in names(made, "init") and "OpenRootfs" in names(made, "init")
    assert shown(made, "host", "Warn") == [
        ("Warn", {"message": f'annotations["{name}"] has no effect: it works only with --rootfs-annotations'})
        for name in (LOWER, UPPER, WORK)
    ]


@pytest.mark.parametrize("name", ["run.oci.handler", "run.oci.anything", "krun.cpus", "module.wasm.image/variant"])
def test_what_asks_for_something_else_is_refused(name):
    """With crun run.oci.handler runs a wasm file, which must not be executed natively instead."""
    assert error(config(annotations={name: "wasm"})) == (
        f'annotations["{name}"]: found "wasm", expected no annotation that asks for what crun does and ocirt does not'
    )


def test_what_podman_writes_for_every_runtime_is_passed_over():
    made = plan(config(annotations={"run.oci.delegate-cgroup": "x", "io.podman.annotations.init": "FALSE"}))
    assert shown(made, "host", "Warn") == [
        (
            "Warn",
            {
                "message": 'annotations["run.oci.delegate-cgroup"] has no effect: it works only with run.oci.systemd.subgroup, and systemd as the cgroup manager'
            },
        )
    ]


@pytest.mark.parametrize(
    "notes, message",
    [
        ({"upper": "/u"}, f'annotations["{UPPER}"]: found an overlay\'s directory, expected {LOWER} as well'),
        ({"work": "/u"}, f'annotations["{WORK}"]: found an overlay\'s directory, expected {LOWER} as well'),
        (
            {"lower": "/l", "upper": "/u"},
            f'annotations["{UPPER}"]: found one of an overlay\'s two directories, expected {WORK} as well',
        ),
        (
            {"lower": "/l", "work": "/w"},
            f'annotations["{WORK}"]: found one of an overlay\'s two directories, expected {UPPER} as well',
        ),
        (
            {"lower": ""},
            f'annotations["{LOWER}"]: found an empty path, expected paths of directories, separated by colons',
        ),
        (
            {"lower": "/a::/b"},
            f'annotations["{LOWER}"]: found an empty path, expected paths of directories, separated by colons',
        ),
        (
            {"lower": "/a", "upper": "", "work": "/w"},
            f'annotations["{UPPER}"]: found "", expected the path of a directory',
        ),
    ],
)
def test_overlays_that_cannot_be(notes, message):
    assert error(overlay(**notes), rootfs_annotations="1") == message


# ---- devices ----

NULL = {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o20600, "uid": 5, "gid": 6}


def nodes(*devices, on=None, **changes):
    made = plan(config(linux__devices=list(devices), **changes), on)
    return [fields for _, fields in shown(made, "init", "MakeNode")]


def test_the_default_devices():
    made = nodes()
    assert [(each["path"], each["major"], each["minor"]) for each in made] == [
        ("/dev/null", 1, 3),
        ("/dev/zero", 1, 5),
        ("/dev/full", 1, 7),
        ("/dev/random", 1, 8),
        ("/dev/urandom", 1, 9),
        ("/dev/tty", 5, 0),
    ]
    assert {(each["kind"], each["mode"]) for each in made} == {(0o020000, 0o666)}


def test_devices_of_every_kind():
    made = nodes(
        {"path": "/dev/a", "type": "c", "major": 1, "minor": 2},
        {"path": "/b", "type": "b", "major": 8, "minor": 0},
        {"path": "/dev/u", "type": "u", "major": 1, "minor": 2},
        {"path": "/p", "type": "p", "fileMode": 0o600},
    )
    assert made[6:] == [
        {"path": "/dev/a", "kind": 0o020000, "major": 1, "minor": 2, "mode": 0o666},
        {"path": "/b", "kind": 0o060000, "major": 8, "minor": 0, "mode": 0o666},
        {"path": "/dev/u", "kind": 0o020000, "major": 1, "minor": 2, "mode": 0o666},
        {"path": "/p", "kind": 0o010000, "major": 0, "minor": 0, "mode": 0o600},
    ]


def test_a_device_takes_the_place_of_a_default_one():
    made = nodes(NULL)
    assert len(made) == 6 and made[-1] == {
        "path": "/dev/null",
        "kind": 0o020000,
        "major": 1,
        "minor": 3,
        "mode": 0o600,
        "uid": 5,
        "gid": 6,
    }


@pytest.mark.parametrize("path", ["//dev/null", "/dev/./null", "/dev/x/../null"])
def test_however_its_path_is_spelled(path):
    made = nodes({**NULL, "path": path})
    assert len(made) == 6 and made[-1]["path"] == path


def test_in_a_user_namespace_nodes_are_bound():
    fifo = {"path": "/p", "type": "p"}
    ids = [{"containerID": 0, "hostID": 1, "size": 1}]
    for made in (
        nodes(NULL, fifo, on=no_cgroups(in_user_namespace=True)),
        nodes(NULL, fifo, linux__namespaces=[{"type": "mount"}, {"type": "user", "path": "/u"}]),
        nodes(
            NULL,
            fifo,
            linux__namespaces=[{"type": "mount"}, {"type": "user"}],
            linux__uidMappings=ids,
            linux__gidMappings=ids,
        ),
    ):
        assert [each.get("bind", 0) for each in made] == [1, 1, 1, 1, 1, 1, 0]


def test_for_a_new_user_namespace_the_runtime_makes_them():
    """With the host's ids. Whose owner is not mapped is the host's node; a FIFO init may make by itself."""
    ids = {
        "linux__namespaces": [{"type": "mount"}, {"type": "user"}],
        "linux__gidMappings": [{"containerID": 0, "hostID": 500, "size": 10}],
        "linux__uidMappings": [
            {"containerID": 0, "hostID": 1, "size": 1},
            {"containerID": 1, "hostID": 1000, "size": 10},
        ],
    }
    devices = [
        NULL,
        {**NULL, "path": "/dev/x", "uid": 11},
        {**NULL, "path": "/dev/y", "gid": 10},
        {"path": "/p", "type": "p"},
    ]
    made = plan(config(linux__devices=devices, **ids))
    host = [fields for _, fields in shown(made, "host", "MakeNode")]
    init = [fields for _, fields in shown(made, "init", "MakeNode")]
    assert [(each["path"], each["mode"], each["uid"], each["gid"]) for each in host] == [
        ("/dev/null", 0o600, 1004, 506)
    ]
    assert [(each["path"], each.get("outside")) for each in init[5:]] == [
        ("/dev/null", host[0]["outside"]),
        ("/dev/x", None),
        ("/dev/y", None),
        ("/p", None),
    ]
    assert [each.get("bind") for each in init] == [1] * 8 + [None]
    assert names(made, "host").index("MakeNode") < names(made, "host").index("Spawn")


def test_nothing_is_made_in_a_directory_of_the_hosts():
    mount = {"destination": "/dev/", "source": "/dev", "options": ["rbind"]}
    ids = [{"containerID": 0, "hostID": 1, "size": 10}]
    for more in (
        {},
        {
            "linux__namespaces": [{"type": "mount"}, {"type": "user"}],
            "linux__uidMappings": ids,
            "linux__gidMappings": ids,
        },
    ):
        made = plan(config(mounts=[mount], linux__devices=[NULL], **more))
        assert "MakeNode" not in names(made, "init") + names(made, "host") and "MakeSymlink" not in names(made, "init")
    tmpfs = {"destination": "/dev", "type": "tmpfs"}
    assert "MakeNode" in names(plan(config(mounts=[tmpfs])), "init")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"type": "x"}, 'linux.devices[0].type: found "x", expected "c", "b", "u" or "p"'),
        ({"type": None}, "linux.devices[0].type: found nothing, expected a string"),
        ({"path": "dev/x"}, 'linux.devices[0].path: found "dev/x", expected an absolute path'),
        ({"minor": -1}, "linux.devices[0].minor: found -1, expected a number from 0 to 1048575"),
        ({"major": 4096}, "linux.devices[0].major: found 4096, expected a number from 0 to 4095"),
        ({"fileMode": "0666"}, 'linux.devices[0].fileMode: found "0666", expected a whole number'),
    ],
)
def test_devices_that_cannot_be(change, message):
    assert error(config(linux__devices=[{**NULL, **change}])) == message


# ---- paths ----


def test_paths():
    made = plan(config(linux__maskedPaths=["/proc/kcore"], linux__readonlyPaths=["/proc/sys", "/proc/bus"]))
    assert shown(made, "init", "MaskPath", "ReadonlyPath") == [
        ("ReadonlyPath", {"path": "/proc/sys"}),
        ("ReadonlyPath", {"path": "/proc/bus"}),
        ("MaskPath", {"path": "/proc/kcore"}),
    ]
    assert [step.at for step in steps(made, "init", "MaskPath")] == ["linux.maskedPaths[0]"]


@pytest.mark.parametrize("name", ["maskedPaths", "readonlyPaths"])
def test_paths_are_absolute(name):
    assert error(config(**{f"linux__{name}": ["/a", "proc"]})) == (
        f'linux.{name}[1]: found "proc", expected an absolute path'
    )


# ---- sysctl ----

ALL = [{"type": kind} for kind in ("mount", "network", "ipc", "uts")]


def sysctl(keys, namespaces=ALL):
    return config(linux__sysctl=keys, linux__namespaces=namespaces)


def test_sysctls():
    made = plan(
        sysctl(
            {
                "net.ipv4.ip_forward": "1",
                "net/ipv4/conf/eth0.1/forwarding": "0",
                "kernel.shmmax": "5",
                "net.ipv4.conf.eth0/2.forwarding": "0",
                "fs.mqueue.msg_max": "9",
                "kernel.domainname": "x",
            }
        )
    )
    assert [(fields["file"], fields["value"]) for _, fields in shown(made, "init", "WriteProc")] == [
        ("sys/net/ipv4/ip_forward", "1"),
        ("sys/net/ipv4/conf/eth0.1/forwarding", "0"),
        ("sys/kernel/shmmax", "5"),
        ("sys/net/ipv4/conf/eth0.2/forwarding", "0"),
        ("sys/fs/mqueue/msg_max", "9"),
        ("sys/kernel/domainname", "x"),
    ]
    assert steps(made, "init", "WriteProc")[0].at == 'linux.sysctl["net.ipv4.ip_forward"]'


NOBODYS, OWNERS = "a parameter of no namespace", "one of the ipc, network, uts or user namespace"


@pytest.mark.parametrize(
    "key, kinds, found, expected",
    [
        ("vm.swappiness", ("network", "ipc", "uts"), NOBODYS, OWNERS),
        ("kernel.panic", ("network", "ipc", "uts"), NOBODYS, OWNERS),
        ("net", ("network",), NOBODYS, OWNERS),
        ("", ("network",), NOBODYS, OWNERS),
        ("net..x", ("network",), NOBODYS, OWNERS),
        ("net/../kernel/panic", ("network",), NOBODYS, OWNERS),
        ("net./..", ("network",), NOBODYS, OWNERS),
        ("net.ipv4.x", ("ipc",), "a parameter of the host", "nothing without a namespace of type network"),
        ("kernel.sem", ("network",), "a parameter of the host", "nothing without a namespace of type ipc"),
        ("fs.mqueue.x", ("network",), "a parameter of the host", "nothing without a namespace of type ipc"),
        ("kernel.domainname", ("network",), "a parameter of the host", "nothing without a namespace of type uts"),
        ("kernel.hostname", ("uts",), "the hostname", "the property hostname instead"),
    ],
)
def test_sysctls_that_cannot_be(key, kinds, found, expected):
    message = error(sysctl({key: "1"}, [{"type": "mount"}, *[{"type": kind} for kind in kinds]]))
    assert message.endswith(f": found {found}, expected {expected}") and message.startswith("linux.sysctl")


def test_sysctls_of_a_joined_namespace():
    spaces = [{"type": "mount"}, {"type": "network", "path": "/n"}]
    assert "WriteProc" in names(plan(sysctl({"net.ipv4.ip_forward": "1"}, spaces)), "init")


@pytest.mark.parametrize(
    "name, value, is_taken", [("a.b", "a.b", True), ("a.b", "c.d", False), ("", "c.d", True), (None, "c.d", True)]
)
def test_two_domainnames(name, value, is_taken):
    """The property and the sysctl are one thing: they must not contradict each other."""
    members = config(
        linux__namespaces=[{"type": "mount"}, {"type": "uts"}],
        linux__sysctl={"kernel/domainname": value},
        **({} if name is None else {"domainname": name}),
    )
    if is_taken:
        plan(members)
    else:
        assert (
            error(members)
            == 'linux.sysctl["kernel/domainname"]: found "c.d", expected "a.b", as the property domainname says'
        )


# ---- a place for changes that the runtime makes ----

SIZE, SCRATCH, OVERLAYS = (f"org.ocirt.rootfs.{name}" for name in ("size", "scratch", "overlays"))
RECEIVER, LATER = "org.ocirt.rootfs.receiver", "org.ocirt.rootfs.later"


def on_scratch(notes, **words):
    return plan(config(annotations=notes), rootfs_annotations="1", **words)


def test_a_tmpfs_for_changes():
    made = on_scratch({SIZE: "4194304", LOWER: "/a:/b", OVERLAYS: "2"})
    order = names(made, "init")
    assert order.index("OpenScratch") + 1 == order.index("OverlayRootfs") < order.index("PivotRoot")
    directories = ["merged", "0", "0/upper", "0/work", "1", "1/upper", "1/work"]
    options = ["size=4194304", "nr_inodes=4096", "mode=755"]
    step = values(steps(made, "init", "OpenScratch")[0])
    assert (step["options"], step["directories"], step.get("source", "")) == (options, directories, "")
    overlay = values(steps(made, "init", "OverlayRootfs")[0])
    assert (overlay["lower"], overlay["path"]) == (["/a", "/b"], "merged")
    assert overlay["options"][:2] == ["upperdir=0/upper", "workdir=0/work"]
    assert "Lend" not in names(made, "host")


def test_a_directory_for_changes():
    made = on_scratch({SCRATCH: "changes"})
    step = values(steps(made, "init", "OpenScratch")[0])
    assert step["source"] == "/bundle/changes" and not step.get("options")
    assert values(steps(made, "init", "OverlayRootfs")[0])["lower"] == ["/bundle/rootfs"]


def test_the_place_is_lent_while_init_waits():
    made = on_scratch({SIZE: "4096", RECEIVER: "/socket"})
    host = names(made, "host")
    assert host.index("OpenSocket") < host.index("Spawn") < host.index("Lend") < host.index("Commit")
    assert [values(each)["waits"] for each in steps(made, "host", "Lend")] == [1]
    assert not fault_of(made)


def test_a_receiver_that_comes_later_gets_the_root_too():
    """A clone, which leads to the files when the place no longer does, and when the container's root is read-only."""
    made = on_scratch({SIZE: "4096", RECEIVER: "/socket", LATER: "1"})
    init, host = names(made, "init"), names(made, "host")
    assert init.index("OverlayRootfs") < init.index("CloneTree") < init.index("PivotRoot")
    assert [values(each)["waits"] for each in steps(made, "host", "Lend")] == [0, 0]
    assert host.count("Lend") == 2 and not fault_of(made)


def test_the_next_container_gets_a_tmpfs_of_its_own():
    """A directory would show it what the last one has written, so no container follows on one."""
    linux = {"namespaces": [{"type": "mount"}, {"type": "pid"}]}

    def steps_of_the_next(notes):
        words = {"verb": "create", "late": "1", "renew": "1", "rootfs_annotations": "1"}
        return names(plan(config(annotations=notes, linux=linux), **words), "renew")

    found = steps_of_the_next({SIZE: "4096", RECEIVER: "/socket", LATER: "1"})
    assert found.index("OpenSocket") < found.index("Spawn") and found.count("Lend") == 2
    assert steps_of_the_next({SCRATCH: "changes"}) == []


@pytest.mark.parametrize(
    "notes, words, message",
    [
        ({SIZE: "4k"}, {}, 'found "4k", expected a number from 1 to'),
        ({SIZE: "4096", SCRATCH: "/d"}, {}, f"found a directory, expected no directory with {SIZE}, or no size"),
        ({SIZE: "4096", OVERLAYS: "65"}, {}, 'found "65", expected a number from 1 to 64'),
        ({SIZE: "4096", UPPER: "/u"}, {}, f"expected no {UPPER} with it"),
        ({SIZE: "4096"}, {"no_pivot": "1"}, "expected a mount namespace of its own, no --no-pivot"),
    ],
)
def test_places_that_cannot_be(notes, words, message):
    with pytest.raises(ConfigError) as caught:
        on_scratch(notes, **words)
    assert message in str(caught.value)


def test_a_place_for_changes_needs_the_callers_flag():
    made = plan(config(annotations={SIZE: "4096"}))
    assert "OpenScratch" not in names(made, "init") and "Warn" in names(made, "host")
