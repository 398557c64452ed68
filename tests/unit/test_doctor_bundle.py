"""``ocirt doctor BUNDLE``: what would fail for a config here, one value of it after the other."""

import pytest

from ocirt.cli.doctor.finding import FAULT, GOOD, NOTE
from ocirt.cli.spec import default
from tests.unit.doctoring import box, change, texts, told

__all__ = ["box", "told"]  # fixtures of the tests here


def test_a_bundle_without_fault(box):
    found = box(default() | {"hooks": {"prestart": [{"path": "/bin/sh"}]}})
    assert texts(found, FAULT) == texts(found, NOTE) == []


@pytest.mark.parametrize(
    "keys, value, level, words",
    [
        (["root", "path"], "nowhere", FAULT, "root.path: "),
        (["root", "path"], 5, FAULT, "create would refuse it: config.json: root.path: found 5"),
        (["process", "args"], ["tool"], FAULT, "process.args[0]: the rootfs has no tool in any folder of process.env"),
        (["process", "args"], ["/opt/tool"], FAULT, "process.args[0]: the rootfs has no /opt/tool, and no mount"),
        (["process", "args"], ["/proc/tool"], NOTE, "process.args[0]: the rootfs has no /proc/tool; unless"),
        (["hooks"], {"poststop": [{"path": "/no/hook"}]}, NOTE, "hooks.poststop[0].path: /no/hook is not"),
        (["hooks"], {"poststart": [{"path": "/no/hook"}]}, FAULT, "hooks.poststart[0].path: /no/hook is not"),
        (
            ["mounts", 0],
            {"destination": "/x", "type": "bind", "source": "/no/source", "options": ["bind"]},
            FAULT,
            "mounts[0].source: /no/source does not exist; mkdir -p /no/source",
        ),
        (
            ["mounts", 5],
            {"destination": "/p", "type": "proc", "source": "proc"},
            NOTE,
            "mounts[5]: a second proc at /p",
        ),
        (["process", "capabilities", "bounding"], ["CAP_NONE"], NOTE, "create warns: "),
        (
            ["linux", "namespaces", 1],
            {"type": "network", "path": "/run/netns/none"},
            FAULT,
            "linux.namespaces[1].path: /run/netns/none does not exist",
        ),
    ],
)
def test_what_would_fail(box, keys, value, level, words):
    config = default()
    change(config, *keys, to=value)
    said = texts(box(config), level)
    assert [each for each in said if words in each], said


MAPPED = [{"containerID": 0, "hostID": 1000, "size": 1}]


@pytest.mark.parametrize(
    "keys, value, level, words",
    [
        (
            ["linux", "resources", "cpu"],
            {"cpus": "0-2"},
            FAULT,
            'linux.resources.cpu.cpus: found "0-2", and this host has 0-1',
        ),
        (
            ["linux", "resources", "cpu"],
            {"mems": "1"},
            FAULT,
            'linux.resources.cpu.mems: found "1", and this host has 0',
        ),
        (
            ["linux", "resources", "memory"],
            {"limit": 500000},
            NOTE,
            "memory.limit: with 500000 bytes the container may die",
        ),
        (
            ["linux", "resources", "memory"],
            {"limit": 4096},
            FAULT,
            "memory.limit: with 4096 bytes the container dies",
        ),
        (
            ["linux", "resources", "memory"],
            {"limit": 1 << 26, "swap": 1 << 25},
            FAULT,
            "linux.resources.memory.swap: found 33554432, expected memory and swap together",
        ),
        (
            ["linux", "resources", "cpu"],
            {"quota": 2000, "burst": 3000},
            FAULT,
            "found 3000, expected at most the quota",
        ),
        (["linux", "memoryPolicy"], {"mode": "MPOL_BIND", "nodes": "3"}, FAULT, "linux.memoryPolicy.nodes: found"),
        (["process", "execCPUAffinity"], {"final": "7"}, NOTE, "process.execCPUAffinity.final: found"),
        (["process", "rlimits"], [{"type": "RLIMIT_CORE", "soft": 3, "hard": 2}], FAULT, "rlimits[0].soft: found 3"),
        (
            ["mounts", 0],
            {"destination": "/m", "type": "nofs"},
            FAULT,
            "mounts[0].type: this kernel has no file system nofs",
        ),
        (
            ["mounts", 0],
            {"destination": "/m", "type": "xfs"},
            NOTE,
            "mounts[0].type: xfs is a module that is not loaded",
        ),
        (
            ["mounts", 0],
            {"destination": "/m", "type": "ext4", "source": "/no"},
            FAULT,
            "mounts[0].source: /no does not",
        ),
        (
            ["mounts", 0],
            {"destination": "/m", "type": "overlay", "options": ["lowerdir=/no:/proc"]},
            FAULT,
            "mounts[0]: lowerdir: /no is not a directory",
        ),
        (
            ["mounts", 0],
            {"destination": "/bin/busybox", "type": "tmpfs"},
            FAULT,
            "/bin/busybox is a file in the rootfs",
        ),
        (
            ["mounts", 0],
            {"destination": "/bin/busybox/x", "type": "tmpfs"},
            FAULT,
            "so that nothing can be mounted beneath",
        ),
        (
            ["mounts", 0],
            {"destination": "/bin", "source": "/proc/version", "options": ["bind"]},
            FAULT,
            "mounts[0].destination: /bin is a directory in the rootfs, and the mount is a file",
        ),
        (
            ["mounts", 0],
            {
                "destination": "/m",
                "source": "/srv",
                "options": ["bind", "idmap"],
                "uidMappings": MAPPED,
                "gidMappings": MAPPED,
            },
            FAULT,
            "mounts[0]: the source is on tmpfs, on which Linux maps ids from 6.3 on",
        ),
        (
            ["mounts", 0],
            {
                "destination": "/m",
                "source": "/proc/self",
                "options": ["bind", "idmap"],
                "uidMappings": MAPPED,
                "gidMappings": MAPPED,
            },
            FAULT,
            "mounts[0]: the source is on proc, on which no Linux maps ids",
        ),
        (["linux", "sysctl"], {"net.ipv4.nosuch": "1"}, FAULT, "linux.sysctl.net.ipv4.nosuch: this kernel has no such"),
        (["linux", "sysctl"], {"net.ipv4.conf.eth0.forwarding": "1"}, FAULT, "has no such device"),
        (
            ["linux", "devices"],
            [{"path": "/d", "type": "c", "major": 999, "minor": 0}],
            NOTE,
            "linux.devices[0]: no driver",
        ),
        (["linux", "devices"], [{"path": "/d", "type": "b", "major": 1, "minor": 0}], NOTE, "the block devices 1"),
        (
            ["linux", "resources", "blockIO"],
            {"throttleReadBpsDevice": [{"major": 999, "minor": 7, "rate": 5}]},
            FAULT,
            "linux.resources.blockIO.throttleReadBpsDevice[0]: this host has no block device 999:7",
        ),
        (["linux", "netDevices"], {"lo": {}}, FAULT, "linux.netDevices.lo: the loopback device does not leave"),
        (
            ["mounts", 0],
            {"destination": "/m", "type": "ext4", "source": __file__},
            FAULT,
            f"mounts[0].source: {__file__} is not a block device, and ext4 needs one; as root: losetup",
        ),
        (
            ["process", "scheduler"],
            {"policy": "SCHED_DEADLINE", "runtime": 3000, "deadline": 2000, "period": 4000},
            FAULT,
            "process.scheduler: found runtime 3000, deadline 2000 and period 4000, expected",
        ),
        (
            ["process", "scheduler"],
            {"policy": "SCHED_DEADLINE", "runtime": 1023, "deadline": 2000},
            FAULT,
            "expected a runtime of at least 1024",
        ),
        (
            ["process", "scheduler"],
            {"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 4000, "period": 3000},
            FAULT,
            "process.scheduler: found runtime 2000",
        ),
        (["process", "args"], ["sh", "x" * (128 << 10)], FAULT, "process.args[1]: found 131072 bytes"),
        (
            ["hooks"],
            {"startContainer": [{"path": "/bin/hook"}]},
            FAULT,
            "hooks.startContainer[0].path: the rootfs has no /bin/hook, and no mount brings it",
        ),
        (
            ["mounts", 0],
            {"destination": "/bin", "type": "tmpfs"},
            FAULT,
            "process.args[0]: mounts[0] at /bin hides ",
        ),
        (
            ["mounts", 0],
            {"destination": "/bin", "source": "/proc/self/fd", "options": ["rbind"]},
            FAULT,
            "process.args[0]: mounts[0] at /bin hides ",
        ),
        (["linux", "maskedPaths"], ["/bin/busybox"], FAULT, "linux.maskedPaths[0], /bin/busybox, hides /bin/sh"),
        (["linux", "maskedPaths"], ["/bin"], FAULT, "linux.maskedPaths[0], /bin, hides /bin/sh"),
        (
            ["linux", "netDevices"],
            {"none0": {}},
            FAULT,
            "linux.netDevices.none0: this host has no network device none0",
        ),
        (
            ["linux", "namespaces", 1],
            {"type": "network", "path": "/proc/self/ns/uts"},
            FAULT,
            "is uts, expected a namespace",
        ),
        (["linux", "namespaces", 1], {"type": "network", "path": "/proc/version"}, FAULT, "is no namespace, expected"),
        (["process", "cwd"], "/bin/busybox", FAULT, "process.cwd: /bin/busybox is a file in the rootfs"),
        (
            ["linux", "seccomp"],
            {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/socket", "syscalls": []},
            FAULT,
            "linux.seccomp.listenerPath: /no/socket does not exist",
        ),
    ],
)
def test_what_this_host_lacks(box, told, keys, value, level, words):
    config = default()
    assert texts(box(default()), FAULT) == texts(box(default()), NOTE) == []
    change(config, *keys, to=value)
    said = texts(box(config), level)
    assert [each for each in said if words in each], said
    assert len([each for kind in (FAULT, NOTE) for each in texts(box(config), kind)]) == 1


@pytest.mark.parametrize(
    "keys, value",
    [
        (["linux", "resources", "cpu"], {"cpus": "0,1", "mems": "0"}),
        (["process", "execCPUAffinity"], {"initial": "1,7"}),
        (["mounts", 0], {"destination": "/bin", "type": "tmpfs", "options": ["tmpcopyup"]}),
        (["mounts", 0], {"destination": "/bin/busybox", "source": "/bin/sh", "options": ["bind"]}),
        (["hooks"], {"startContainer": [{"path": "/bin/sh"}]}),
        (["process", "args"], ["sh", "x" * ((128 << 10) - 1)]),
        (["process", "scheduler"], {"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 2000}),
        (["linux", "sysctl"], {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.forwarding": "1"}),
        (["linux", "devices"], [{"path": "/d", "type": "c", "major": 1, "minor": 3}]),
        (["linux", "namespaces", 1], {"type": "network", "path": "/proc/self/ns/net"}),
        (["process", "cwd"], "/missing"),
    ],
)
def test_what_this_host_has(box, told, keys, value):
    config = default()
    change(config, *keys, to=value)
    assert texts(box(config), FAULT) == texts(box(config), NOTE) == []


def test_all_errors_that_validate_finds(box):
    """Create stops at the first one."""
    config = default() | {"hostname": 5}
    config["process"]["cwd"] = "relative"
    said = texts(box(config), FAULT)
    assert len(said) == 2 and all(each.startswith("create would refuse it: ") for each in said)
    assert [each for each in said if "hostname" in each] and [each for each in said if "process.cwd" in each]


def _with_null(value):
    """The same config with a null for each property that is absent at the places where engines write some."""
    value["hooks"] = {"prestart": None}
    value["annotations"] = None
    value["process"] |= {"rlimits": None, "user": {"uid": 0, "gid": 0, "additionalGids": None}}
    value["linux"] |= {"maskedPaths": None, "readonlyPaths": None, "uidMappings": None, "resources": None}
    value["mounts"].append({"destination": "/t", "type": "tmpfs", "source": None, "options": None})
    return value


def test_properties_that_are_null_count_as_missing(box):
    assert texts(box(_with_null(default())), FAULT) == []
    for name in ("hooks", "mounts", "annotations"):
        found = box(default() | {name: None})
        assert [each for each in found if each.level == GOOD and "compiles to" in each.found], (name, found)
