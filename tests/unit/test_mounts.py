"""config.md, "Mounts" and "Linux mount options"."""

import pytest

from ocirt.compile.mount_options import KNOWN, KNOWN_OR_EMPTY, split
from ocirt.errors import ConfigError, HostError
from ocirt.model.host import Cgroups, Hierarchy
from tests.unit import plans
from tests.unit.plans import ROOT, config, host, names, no_cgroups, plan, steps, v1

RDONLY, NOSUID, NODEV, NOEXEC, NODIRATIME, NOSYMFOLLOW = 0x1, 0x2, 0x4, 0x8, 0x80, 0x200000
ATIME, NOATIME, STRICTATIME = 0x70, 0x10, 0x20
UNBINDABLE, PRIVATE, SLAVE, SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20

SPEC_OPTIONS = """async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev
    nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev
    rdiratime relatime remount rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate
    rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid
    symfollow sync tmpcopyup unbindable idmap ridmap""".split()


def shown(made, section, *kinds):
    """Without the root's own attributes, which are test_rootfs.py's."""
    of_root = ("SetMountAttributes", {"target": "/", "set": 0, "propagation": PRIVATE})
    return [row for row in plans.shown(made, section, *kinds) if row != of_root]


def mounted(*options, on=None, section="init", destination="/data", **entry):
    """The steps on mounts for one entry."""
    made = plan(config(mounts=[{"destination": destination, "options": list(options), **entry}]), on)
    return shown(made, section, "Mount", "Bind", "SetMountAttributes")


def bind(*options, **entry):
    return mounted("bind", *options, source="/src", **entry)[0][1]


def tmpfs(*options, **entry):
    return mounted(*options, type="tmpfs", source="tmpfs", **entry)[0][1]


def error(*entries, kind=ConfigError, on=None):
    with pytest.raises(kind) as caught:
        plan(config(mounts=list(entries)), on)
    return str(caught.value).removeprefix("config.json: ")


def test_every_option_of_the_spec_is_known():
    assert [option for option in SPEC_OPTIONS if option not in KNOWN] == []


@pytest.mark.parametrize(
    "options, set, clear",
    [
        (["ro"], RDONLY, 0),
        (["rw"], 0, RDONLY),
        (["ro", "rw"], 0, RDONLY),
        (["rw", "ro"], RDONLY, 0),
        (["nosuid", "nodev", "noexec"], NOSUID | NODEV | NOEXEC, 0),
        (["suid", "dev", "exec"], 0, NOSUID | NODEV | NOEXEC),
        (["nosymfollow"], NOSYMFOLLOW, 0),
        (["nosymfollow", "symfollow"], 0, NOSYMFOLLOW),
        (["nodiratime"], NODIRATIME, 0),
        (["diratime"], 0, NODIRATIME),
        (["noatime"], NOATIME, ATIME),
        (["strictatime"], STRICTATIME, ATIME),
        (["relatime"], 0, ATIME),
        (["noatime", "strictatime"], STRICTATIME, ATIME),
        (["strictatime", "relatime"], 0, ATIME),
        (["noatime", "atime"], 0, ATIME),
        (["strictatime", "nostrictatime"], 0, ATIME),
        (["atime"], 0, ATIME),
        (["noatime", "nostrictatime"], NOATIME, ATIME),
        (["strictatime", "atime"], STRICTATIME, ATIME),
        (["norelatime"], 0, 0),
        (["noatime", "norelatime"], NOATIME, ATIME),
        (["defaults", "silent", "loud"], 0, 0),
        (["noatime", "nodiratime"], NOATIME | NODIRATIME, ATIME),
    ],
)
def test_attributes(options, set, clear):
    fields = bind(*options)
    assert (fields.get("set", 0), fields.get("clear", 0)) == (set, clear)


@pytest.mark.parametrize(
    "options, implied",
    [
        ([], 0),
        (["rprivate"], 0),
        (["rro"], 0),
        (["defaults"], 0),
        (["nosuid", "nodev"], RDONLY | NOEXEC | NOSYMFOLLOW),
        (["ro"], NOSUID | NODEV | NOEXEC | NOSYMFOLLOW),
        (["rw"], NOSUID | NODEV | NOEXEC | NOSYMFOLLOW),
        (["exec"], RDONLY | NOSUID | NODEV | NOSYMFOLLOW),
        (["noatime"], RDONLY | NOSUID | NODEV | NOEXEC | NOSYMFOLLOW | NODIRATIME),
        (["rro", "nosuid"], NODEV | NOEXEC | NOSYMFOLLOW),
    ],
)
def test_what_the_options_of_a_bind_do_not_name(options, implied):
    """runc's rule: with no attribute among the options those of the source stay, with any the others go."""
    assert bind(*options).get("implied", 0) == implied


@pytest.mark.parametrize(
    "options, set, clear",
    [
        (["rro"], RDONLY, 0),
        (["rrw"], 0, RDONLY),
        (["rnosuid", "rnodev", "rnoexec"], NOSUID | NODEV | NOEXEC, 0),
        (["rsuid", "rdev", "rexec"], 0, NOSUID | NODEV | NOEXEC),
        (["rnoatime"], NOATIME, ATIME),
        (["rstrictatime", "ratime"], STRICTATIME, ATIME),
        (["rstrictatime", "rnostrictatime"], 0, ATIME),
        (["rrelatime"], 0, ATIME),
        (["rnodiratime"], NODIRATIME, 0),
        (["rdiratime"], 0, NODIRATIME),
        (["rnosymfollow"], NOSYMFOLLOW, 0),
        (["rsymfollow"], 0, NOSYMFOLLOW),
        (["rnorelatime"], 0, 0),
    ],
)
def test_recursive_attributes(options, set, clear):
    fields = bind(*options)
    assert (fields.get("recursive_set", 0), fields.get("recursive_clear", 0)) == (set, clear)
    assert "set" not in fields and "clear" not in fields


@pytest.mark.parametrize(
    "option, parts",
    [
        ("size=1m,nr_inodes=10", ["size=1m", "nr_inodes=10"]),
        (",size=1m,,", ["size=1m"]),
        (",", []),
        ('context="u:r:t:s0:c1,c2",size=1m', ["context=u:r:t:s0:c1,c2", "size=1m"]),
        (r"a=x\,y,b", ["a=x,y", "b"]),
        (r"a=x\"y\\z,b", [r'a=x"y\\z', "b"]),
        (r'a=\q,b="', [r"a=\q", "b="]),
        ("a=\\,", ["a=,"]),
        ("a,b\\", ["a", "b\\"]),
    ],
)
def test_several_options_in_one_string(option, parts):
    """As mount(8) has them: engines pass on what a person has written for it."""
    assert split(option) == parts
    assert tmpfs(option).get("options", []) == parts


def test_options_in_one_string_mean_what_they_mean_alone():
    fields = tmpfs("nosuid,mode=755,size=64k,ro", "", "noexec")
    assert (
        fields["set"] == NOSUID | NOEXEC and fields["options"] == ["mode=755", "size=64k"] and "keep_mode" not in fields
    )
    assert bind("ro,nosuid,rprivate")["set"] == RDONLY | NOSUID
    # What podman writes for --systemd=always.
    assert tmpfs("rw", "rprivate", "nosuid", "nodev", "tmpcopyup", "").get("options", []) == []


def test_options_that_mean_nothing_to_a_bind():
    """A warning: a bind with ``roo`` must not pass for a read-only one."""
    made = plan(
        config(
            mounts=[
                {"destination": "/d", "source": "/s", "options": ["bind", "roo", "size=1", "ro", "sync"]},
                {"destination": "/t", "type": "tmpfs", "options": ["size=1"]},
            ]
        )
    )
    assert shown(made, "host", "Warn") == [
        ("Warn", {"message": "mounts[0].options[1]: a bind mount has no option roo: it is ignored; did you mean ro?"}),
        ("Warn", {"message": "mounts[0].options[2]: a bind mount has no option size=1: it is ignored"}),
    ]


def test_both_kinds_of_attributes():
    fields = mounted("rbind", "rro", "rw", source="/src")[0][1]
    assert (fields["recursive"], fields["recursive_set"], fields["clear"]) == (1, RDONLY, RDONLY)


@pytest.mark.parametrize(
    "option, flag, recursive",
    [
        ("private", PRIVATE, 0),
        ("rprivate", PRIVATE, 1),
        ("slave", SLAVE, 0),
        ("rslave", SLAVE, 1),
        ("shared", SHARED, 0),
        ("rshared", SHARED, 1),
        ("unbindable", UNBINDABLE, 0),
        ("runbindable", UNBINDABLE, 1),
    ],
)
def test_propagation(option, flag, recursive):
    for fields in (bind(option), tmpfs(option)):
        assert (fields["propagation"], fields.get("propagation_recursive", 0)) == (flag, recursive)


def test_further_propagations_come_after_it():
    assert mounted("rbind", "rslave", "shared", source="/src")[1:] == [
        ("SetMountAttributes", {"target": "/data", "set": 0, "propagation": SHARED})
    ]


def test_binds():
    assert mounted("rbind", source="/src", type="none") == [
        ("Bind", {"source": "/src", "target": "/data", "recursive": 1})
    ]
    assert mounted("bind", source="sub/dir")[0][1]["source"] == "/bundle/sub/dir"
    # No file system has that name: it can only mean this.
    assert mounted(type="bind", source="/src") == [("Bind", {"source": "/src", "target": "/data"})]
    # Settings of a file system mean nothing to a bind.
    assert mounted("bind", "size=5", "sync", source="/src") == [("Bind", {"source": "/src", "target": "/data"})]


def test_the_type_of_a_bind_is_not_looked_at():
    made = plan(config(mounts=[{"destination": "/d", "type": "none", "source": "/s", "options": ["bind"]}]))
    assert "mounts[0].type" not in made.trace.guards


def test_destinations():
    assert bind(destination="relative/path")["target"] == "/relative/path"
    assert bind(destination="/a/../b")["target"] == "/a/../b"  # resolved in the rootfs, by the executor
    assert bind(destination="/")["target"] == "/"  # over the root, as crun and runc 1.1
    assert (
        error({"destination": "", "type": "tmpfs"}) == 'mounts[0].destination: found "", expected a path in the rootfs'
    )


@pytest.mark.parametrize(
    "destination, answer",
    [
        ("/proc/stat", 1),
        ("//proc/./stat", 1),
        ("proc/net/dev", 1),
        ("/x/../proc/sys/kernel/ns_last_pid", 1),
        ("/proc/cpuinfo/", 1),
        ("/proc", 0),
        ("/proc/self/stat", 0),
        ("/proc/sys/kernel/core_pattern", 0),
        ("/proc2/stat", 0),
        ("/stat", 0),
    ],
)
def test_files_of_proc_that_may_be_covered(destination, answer):
    assert bind(destination=destination).get("on_proc", 0) == answer
    assert "on_proc" not in bind("dest-nofollow", destination=destination)


def test_new_file_systems():
    assert mounted("nosuid", "mode=755", "size=64k", "strictatime", type="tmpfs", source="tmpfs") == [
        (
            "Mount",
            {
                "fstype": "tmpfs",
                "source": "tmpfs",
                "target": "/data",
                "options": ["mode=755", "size=64k"],
                "set": NOSUID | STRICTATIME,
            },
        )
    ]
    assert mounted(type="proc")[0][1]["source"] == "proc"
    assert mounted("tmpcopyup", type="tmpfs")[0][1]["tmpcopyup"] == 1
    assert mounted("rnosuid", "rnoatime", type="tmpfs")[0][1]["set"] == NOSUID | NOATIME


@pytest.mark.parametrize(
    "options, settings",
    [
        (["sync"], ["sync"]),
        (["async"], ["async"]),
        (["sync", "async"], ["async"]),
        (["dirsync", "mand"], ["dirsync", "mand"]),
        (["lazytime", "nolazytime", "lazytime"], ["lazytime"]),
        (["nomand"], ["nomand"]),
        (["iversion", "noiversion", "defaults", "silent"], []),
        (["x=1", "sync"], ["sync", "x=1"]),
    ],
)
def test_settings_of_the_file_system(options, settings):
    assert tmpfs(*options).get("options", []) == settings


def test_a_read_only_file_system():
    """On a medium it is the file system that is read-only; one that others may share is not."""
    assert mounted("ro", type="ext4", source="/dev/vdb")[0][1] == {
        "fstype": "ext4",
        "source": "/dev/vdb",
        "target": "/data",
        "options": ["ro"],
        "set": RDONLY,
    }
    assert mounted("ro", type="sysfs", source="sysfs")[0][1] == {
        "fstype": "sysfs",
        "source": "sysfs",
        "target": "/data",
        "set": RDONLY,
    }


@pytest.mark.parametrize(
    "entry",
    [
        {"destination": "/t", "type": "tmpfs", "options": ["ro", "nosuid"]},
        {"destination": "/t", "type": "tmpfs", "options": ["rro", "nosuid"]},
        {"destination": "/dev", "type": "tmpfs", "options": ["ro", "nosuid"]},
        {"destination": "/dev/", "type": "devtmpfs", "options": ["ro", "nosuid"]},
        {"destination": "/./dev", "type": "none", "source": "/s", "options": ["bind", "ro", "nosuid"]},
    ],
)
def test_what_is_written_to_becomes_read_only_at_the_end(entry):
    made = plan(config(mounts=[entry]))
    (first,) = steps(made, "init", "Mount", "Bind")
    assert first.set == NOSUID
    assert shown(made, "init", "SetMountAttributes") == [
        ("SetMountAttributes", {"target": entry["destination"], "set": RDONLY})
    ]
    order = names(made, "init")
    assert order.index("SetMountAttributes") > order.index("PivotRoot")


def test_remount():
    assert mounted("remount", "ro", "nosuid", "noatime") == [
        ("SetMountAttributes", {"target": "/data", "set": RDONLY | NOSUID | NOATIME, "clear": ATIME})
    ]
    assert mounted("remount", "bind", "rro", "rslave") == [
        ("SetMountAttributes", {"target": "/data", "set": RDONLY, "recursive": 1}),
        ("SetMountAttributes", {"target": "/data", "set": 0, "propagation": SLAVE, "recursive": 1}),
    ]
    assert mounted("remount") == []


def test_a_remount_with_settings_reconfigures_the_file_system():
    made = plan(config(mounts=[{"destination": "/data", "options": ["remount", "size=5m", "sync", "nosuid"]}]))
    assert shown(made, "init", "ReconfigureMount", "SetMountAttributes") == [
        ("ReconfigureMount", {"target": "/data", "options": ["sync", "size=5m"]}),
        ("SetMountAttributes", {"target": "/data", "set": NOSUID}),
    ]


def test_symlinks_at_either_end_of_a_bind():
    assert bind("src-nofollow")["source_nofollow"] == 1 and bind("dest-nofollow")["target_nofollow"] == 1
    assert bind("copy-symlink")["copy_symlink"] == 1


def test_a_tmpfs_has_the_mode_of_what_it_covers_unless_it_is_given_one():
    assert tmpfs("size=1m")["keep_mode"] == 1
    assert "keep_mode" not in tmpfs("mode=755") and "keep_mode" not in mounted(type="proc")[0][1]


def test_order_is_kept():
    entries = [{"destination": f"/{name}", "type": "tmpfs"} for name in "cab"]
    made = plan(config(mounts=entries))
    assert [fields["target"] for _, fields in shown(made, "init", "Mount")] == ["/c", "/a", "/b"]


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"type": "tmpfs"}, "mounts[0].destination: found nothing, expected a string"),
        (
            {"destination": "/x"},
            "mounts[0].type: found nothing, expected a file system, or bind or rbind among the options",
        ),
        (
            {"destination": "/x", "type": ""},
            "mounts[0].type: found nothing, expected a file system, or bind or rbind among the options",
        ),
        (
            {"destination": "/x", "options": ["bind"]},
            "mounts[0].source: found nothing, expected the file or directory to bind",
        ),
        (
            {"destination": "/x", "source": "", "options": ["rbind"]},
            "mounts[0].source: found nothing, expected the file or directory to bind",
        ),
        (
            {"destination": "/x", "type": "proc", "options": ["tmpcopyup"]},
            'mounts[0].options[0]: found "tmpcopyup", expected tmpcopyup only on a tmpfs',
        ),
        (
            {"destination": "/x", "source": "/s", "options": ["bind", "tmpcopyup"]},
            'mounts[0].options[1]: found "tmpcopyup", expected tmpcopyup only on a tmpfs',
        ),
        (
            {"destination": "/x", "type": "tmpfs", "options": ["src-nofollow"]},
            'mounts[0].options[0]: found "src-nofollow", expected src-nofollow only on a bind mount',
        ),
        (
            {"destination": "/x", "type": "tmpfs", "options": ["idmap"]},
            'mounts[0].options[0]: found "idmap", expected idmap only on a bind mount',
        ),
        (
            {"destination": "/x", "type": "cgroup", "options": ["ridmap"]},
            'mounts[0].options[0]: found "ridmap", expected ridmap only on a bind mount',
        ),
        (
            {"destination": "/x", "type": "tmpfs", "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]},
            "mounts[0].uidMappings: found an array, expected nothing, because this is no bind mount",
        ),
        (
            {"destination": "/x", "source": "/s", "options": ["bind", "copy-symlink", "idmap"]},
            'mounts[0].options[1]: found "copy-symlink", expected copy-symlink only without an id mapping (uidMappings, gidMappings, idmap or ridmap)',
        ),
        (
            {"destination": "/x", "source": "/s", "options": ["bind", "copy-symlink", "dest-nofollow"]},
            'mounts[0].options[1]: found "copy-symlink", expected copy-symlink only without src-nofollow and dest-nofollow',
        ),
    ],
)
def test_what_cannot_be_mounted(entry, message):
    assert error(entry) == message


def test_options_are_read_only_where_they_are_known():
    made = plan(config(mounts=[{"destination": "/t", "type": "tmpfs", "options": ["ro", "size=5"]}]))
    assert made.trace.guards["mounts[0].options[0]"] == "ro" and "mounts[0].options[1]" not in made.trace.guards
    assert made.trace.tests["mounts[0].options[1]", "within", KNOWN_OR_EMPTY] is False


# ---- cgroups ----


def cgroup_mount(on, *options, type="cgroup", **words):
    entry = {"destination": "/sys/fs/cgroup", "type": type, "source": "cgroup", "options": list(options)}
    made = plan(config(mounts=[entry], linux__cgroupsPath="/box"), on, **words)
    rows = shown(made, "init", "Mount", "Bind", "MakeSymlink", "SetMountAttributes")
    return [row for row in rows if (row[1].get("target") or row[1]["path"]).startswith(ROOT)]


def sources(on, **words):
    return [(fields["source"], fields.get("otherwise")) for name, fields in cgroup_mount(on, **words) if name == "Bind"]


def test_the_hierarchies_are_bound_into_a_tmpfs():
    together = Hierarchy(("cpu", "cpuacct"), f"{ROOT}/cpu,cpuacct", "/")
    on = host(cgroups=Cgroups([*v1("devices", "memory", "name=systemd"), together]))
    assert cgroup_mount(on, "ro", "nosuid", "rprivate") == [
        (
            "Mount",
            {
                "fstype": "tmpfs",
                "source": "tmpfs",
                "options": ["mode=755"],
                "target": ROOT,
                "set": NOSUID | NODEV | NOEXEC,
            },
        ),
        *[
            ("Bind", {"source": f"{ROOT}/{name}/box", "target": f"{ROOT}/{name}", "recursive": 1})
            for name in ("devices", "memory", "systemd", "cpu,cpuacct")
        ],
        ("MakeSymlink", {"path": f"{ROOT}/cpu", "to": "cpu,cpuacct"}),
        ("MakeSymlink", {"path": f"{ROOT}/cpuacct", "to": "cpu,cpuacct"}),
        (
            "SetMountAttributes",
            {"target": ROOT, "set": RDONLY | NOSUID, "propagation": PRIVATE, "recursive": 1},
        ),
    ]


def test_writable_cgroups():
    rows = cgroup_mount(host(cgroups=Cgroups(v1("devices", "memory"))))
    assert [name for name, _ in rows] == ["Mount", "Bind", "Bind"]


def test_options_that_take_something_away_are_about_the_hierarchies():
    """Not about the tmpfs that they are in."""
    rows = cgroup_mount(host(cgroups=Cgroups(v1("devices"))), "exec")
    assert rows[-2:] == [
        ("SetMountAttributes", {"target": ROOT, "set": 0, "clear": NOEXEC, "recursive": 1}),
        ("SetMountAttributes", {"target": ROOT, "set": NOEXEC}),
    ]


def test_what_is_passed_over_is_not_bound():
    on = host(cgroups=Cgroups(v1("memory", own="/mine")))
    ((name, fields),) = [row for row in cgroup_mount(on, rootless="true") if row[0] == "Bind"]
    assert (fields["optional"], fields["otherwise"]) == (1, "/sys/fs/cgroup/memory/mine")


def test_without_cgroups_of_its_own_it_sees_the_callers():
    on = host(cgroups=Cgroups(v1("memory", own="/mine")))
    assert sources(on, cgroup_manager="disabled") == [("/sys/fs/cgroup/memory/mine", None)]


def test_cgroup2_on_a_hybrid_host():
    rows = cgroup_mount(host(), type="cgroup2")
    assert rows[0] == ("Bind", {"source": "/sys/fs/cgroup/unified/box", "target": "/sys/fs/cgroup", "recursive": 1})
    assert error({"destination": "/c", "type": "cgroup2"}, kind=HostError, on=no_cgroups()) == (
        "mounts[0]: this host has no cgroup v2 hierarchy"
    )
