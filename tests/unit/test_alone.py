"""A mount namespace that has nothing but the rootfs in it from the beginning (Linux 7.0, OPEN_TREE_NAMESPACE): which
plans ask for it, and what the runtime opens for an init that cannot reach the host's mounts any more.
"""

import pytest

from tests.unit.plans import config, names, no_cgroups, plan, shown, v2

LINUX_7 = {"kernel": (7, 0)}
MOUNT, UTS, USER, CGROUP = 0x20000, 0x04000000, 0x10000000, 0x02000000
SLAVE, PRIVATE = 1 << 19, 1 << 18
MAPS = [{"containerID": 0, "hostID": 1000, "size": 10}]
HOOK = [{"path": "/bin/true"}]


def linux(*kinds, **members):
    return {"namespaces": [{"type": kind} for kind in ("mount", *kinds)], **members}


def user(*kinds, **members):
    return linux("user", *kinds, uidMappings=MAPS, gidMappings=MAPS, **members)


def opens(made):
    """Does init make the namespace from the rootfs alone?"""
    found = [step for step in made.init if type(step).__name__ in ("OpenRootfs", "OverlayRootfs")]
    assert len(found) == 1
    return bool(getattr(found[0], "alone", 0))


def mounts(*entries):
    return config(mounts=list(entries))


def test_the_namespace_is_made_of_the_rootfs():
    made = plan(config(linux=linux("uts")), no_cgroups(**LINUX_7))
    order = names(made, "init")
    assert shown(made, "init", "OpenRootfs") == [
        ("OpenRootfs", {"path": "/bundle/rootfs", "alone": 1, "propagation": SLAVE})
    ]
    assert shown(made, "init", "Unshare") == [("Unshare", {"flags": UTS})]
    assert "SetPropagation" not in order and "PivotRoot" in order


def test_an_older_kernel_copies_the_mounts():
    made = plan(config(linux=linux("uts")), no_cgroups(kernel=(6, 19)))
    assert not opens(made) and "SetPropagation" in names(made, "init")
    assert shown(made, "init", "Unshare") == [("Unshare", {"flags": MOUNT | UTS})]


def test_a_stage_starts_init_without_the_namespace():
    namespaces = {"namespaces": [{"type": "mount"}, {"type": "ipc", "path": "/proc/1/ns/ipc"}]}
    made = plan(config(linux=namespaces), no_cgroups(**LINUX_7))
    assert opens(made) and [step.flags for step in made.stage if type(step).__name__ == "Spawn"] == [0]


def test_the_propagation_of_the_host_does_not_hold():
    made = plan(config(linux=linux(rootfsPropagation="private")), no_cgroups(**LINUX_7))
    assert shown(made, "init", "OpenRootfs")[0][1]["propagation"] == PRIVATE


@pytest.mark.parametrize("point", ["startContainer", "poststart", "poststop"])
def test_hooks_that_run_later_change_nothing(point):
    assert opens(plan(config(hooks={point: HOOK}), no_cgroups(**LINUX_7)))


def test_dockers_hook_needs_only_the_network():
    """Docker has it in every container of a bridge."""
    hook = {"path": "/proc/812/exe", "args": ["libnetwork-setkey", "-exec-root=/run/docker", "id", "controller"]}
    made = plan(config(linux=linux("network"), hooks={"prestart": [hook]}), no_cgroups(**LINUX_7))
    order = names(made, "init")
    assert opens(made) and order.index("OpenRootfs") < order.index("Receive") < order.index("PivotRoot")
    both = {"prestart": [hook, *HOOK]}
    assert not opens(plan(config(hooks=both), no_cgroups(**LINUX_7)))


@pytest.mark.parametrize(
    "members, flags",
    [
        (config(hooks={"prestart": HOOK}), {}),
        (config(hooks={"createRuntime": HOOK}), {}),
        (config(hooks={"createContainer": HOOK}), {}),
        (config(), {"no_pivot": "1"}),
        (mounts({"destination": "/data", "type": "ext4", "source": "/dev/sdb"}), {}),
        (mounts({"destination": "/data", "type": "overlay", "source": "overlay", "options": ["lowerdir=/a:/b"]}), {}),
        (mounts({"destination": "/l", "source": "/l", "options": ["bind", "copy-symlink"]}), {}),
        (mounts({"destination": "/", "type": "tmpfs", "source": "tmpfs"}), {}),
        (mounts({"destination": "/a/..", "source": "/b", "options": ["bind"]}), {}),
        (config(), {"layer": "/lower"}),
    ],
)
def test_what_needs_the_hosts_mounts_copies_them(members, flags):
    assert not opens(plan(members, no_cgroups(**LINUX_7), **flags))


def test_a_user_without_privileges_copies_them():
    unprivileged = {"euid": 1000, "egid": 1000, "permitted": 0}
    own = [{"containerID": 0, "hostID": 1000, "size": 1}]
    members = config(linux=linux("user", uidMappings=own, gidMappings=own))
    assert not opens(plan(members, no_cgroups(**LINUX_7, **unprivileged)))


def test_a_joined_namespace_is_left_as_it_is():
    namespaces = {"namespaces": [{"type": "mount", "path": "/proc/1/ns/mnt"}]}
    assert not opens(plan(config(linux=namespaces), no_cgroups(**LINUX_7)))


def test_what_the_runtime_opens_for_a_user_namespace():
    """The kernel mounts a procfs or sysfs in a user namespace only where one can be seen, so those of the host cover
    the root until pivot_root.
    """
    made = plan(config(linux=user()), no_cgroups(**LINUX_7))
    sources = {step["source"]: step["fd"] for _, step in shown(made, "host", "OpenMount")}
    assert sources.keys() >= {"/bundle/rootfs", "/dev/null", "/proc", "/sys", "/dev/zero", "/dev/tty"}
    rootfs = shown(made, "init", "OpenRootfs")[0][1]
    assert rootfs["tree"] == sources["/bundle/rootfs"] and rootfs["alone"] == 1
    covers = [step["fd"] for _, step in shown(made, "init", "CoverRoot")]
    assert covers == [sources["/proc"], sources["/sys"]]
    assert [step["fd"] for _, step in shown(made, "init", "UncoverRoot")] == covers[::-1]
    order = names(made, "init")
    assert order.index("OpenRootfs") < order.index("CoverRoot") < order.index("MakeNode")
    assert order.index("MakeNode") < order.index("UncoverRoot") < order.index("PivotRoot")
    assert all(step["outside"] is not None for _, step in shown(made, "init", "MakeNode") if step.get("bind"))


def test_a_device_of_the_config_in_a_user_namespace():
    device = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "uid": 77}
    made = plan(config(linux=user(devices=[device])), no_cgroups(**LINUX_7))
    found = [step for _, step in shown(made, "init", "MakeNode") if step["path"] == "/dev/fuse"]
    opened = [step["fd"] for _, step in shown(made, "host", "OpenMount") if step["source"] == "/dev/fuse"]
    assert [step["outside"] for step in found] == opened and opened


def test_a_user_without_privileges_in_an_engines_user_namespace():
    """podman's own user namespace: the runtime is root in it, and its mount namespace belongs to it."""
    made = plan(config(), no_cgroups(**LINUX_7, in_user_namespace=True))
    assert opens(made) and [step["source"] for _, step in shown(made, "host", "OpenMount")] == ["/proc", "/sys"]


@pytest.mark.parametrize("kinds, alone", [((), False), (("cgroup",), True)])
def test_cgroups_in_a_user_namespace(kinds, alone):
    """Without a cgroup namespace init binds a directory of the host, to which it cannot go back."""
    entry = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
    assert opens(plan(config(linux=user(*kinds), mounts=[entry]), v2(**LINUX_7))) is alone
    assert opens(plan(config(linux=linux(*kinds), mounts=[entry]), v2(**LINUX_7)))
