"""Cgroup v2 and who may write it: the kernel's Documentation/admin-guide/cgroup-v2.rst, Delegation."""

import os
from pathlib import Path

import pytest

from tests.integration.harness import CGROUPS, PARENT, UID, left_cgroups
from tests.integration.unified import HUGE, emptied, folder, inside, make, membership, read, unified, wait_for

__all__ = ["emptied", "unified"]  # fixtures of every test here


def writable(bundle):
    for mount in bundle.config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"].remove("ro")
    return bundle


def test_who_may_write_its_cgroups_owns_them(ocirt, bundle):
    """config-linux.md, Cgroup ownership: the directory and the files that /sys/kernel/cgroup/delegate lists."""
    writable(bundle).shell(
        "mkdir /sys/fs/cgroup/inner && echo 0 > /sys/fs/cgroup/inner/cgroup.procs && cat /proc/self/cgroup | grep ^0;"
        "sleep 60"
    ).config["process"]["user"] = {"uid": 1000, "gid": 1000}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    owned = Path("/sys/kernel/cgroup/delegate").read_text().split()
    for file in folder().iterdir():
        assert (file.stat().st_uid == 1000) == (file.name in owned), file
    assert folder().stat().st_uid == 1000 and folder(PARENT).stat().st_uid == 0
    ocirt.ok("start", "c1")
    wait_for(lambda: (folder() / "inner").exists() and read("inner/cgroup.procs"))
    ocirt.ok("delete", "--force", "c1")
    assert left_cgroups() == []


def test_a_cgroup_that_is_only_read_is_roots(ocirt, bundle):
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert folder().stat().st_uid == 0


@pytest.fixture
def delegated():
    """A subtree that belongs to the user, with the caller in a cgroup of it; its path."""
    top = make(f"{PARENT}/user/session").parent
    for parent in (CGROUPS, folder(PARENT)):
        for controller in (parent / "cgroup.controllers").read_text().split():
            (parent / "cgroup.subtree_control").write_text(f"+{controller}")
    for place in (top, top / "session"):
        for name in ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
            os.chown(place / name, UID, UID)
    with inside(f"{PARENT}/user/session"):
        yield f"{PARENT}/user"


@pytest.mark.root_cgroup
def test_a_user_in_a_subtree_of_its_own(delegated, user, own_bundle):
    """The kernel's cgroup-v2.rst, Delegation."""
    own_bundle.args("sleep", "60").config["linux"]["resources"] = HUGE
    own_bundle.save()
    user.ok("create", "--bundle", own_bundle, "c1")
    assert membership(user.state("c1")["pid"]) == f"{delegated}/c1"
    assert read("hugetlb.2MB.max", f"{delegated}/c1") == str(4 << 20)
    user.ok("start", "c1")
    (folder(f"{delegated}/c1") / "cgroup.freeze").write_text("1")
    user.ok("delete", "--force", "c1")
    assert sorted(path.name for path in folder(delegated).iterdir() if path.is_dir()) == ["session"]


def test_users_containers_share_parents(delegated, user, own_bundle):
    own_bundle.args("sleep", "60")
    for name in ("c1", "c2"):
        own_bundle.config["linux"]["cgroupsPath"] = f"deep/shared/{name}"
        own_bundle.save()
        user.ok("create", "--bundle", own_bundle, name)
    user.ok("delete", "--force", "c1")
    user.ok("delete", "--force", "c2")
    assert not folder(f"{delegated}/deep").exists()


def test_a_user_may_see_it_in_a_namespace(delegated, user, own_bundle):
    own_bundle.namespace("cgroup").shell(
        "grep ^0 /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x && echo made"
    )
    own_bundle.config["mounts"] = [
        each for each in own_bundle.config["mounts"] if not each["destination"].startswith("/sys/fs/cgroup")
    ]
    own_bundle.config["mounts"].append(
        {"destination": "/sys/fs/cgroup", "type": "cgroup2", "source": "cgroup2", "options": ["nosuid"]}
    )
    own_bundle.save()
    lines = user.ok("run", "--bundle", own_bundle, "c1").out.splitlines()
    assert lines[0] == "0::/" and "1" in lines and lines[-1] == "made"


def test_a_user_without_a_subtree_stays(user, own_bundle):
    """One warning; as runc, only where neither a place nor a limit is asked for."""
    own_bundle.without_namespace("cgroup").shell("grep ^0 /proc/self/cgroup").save()
    with inside(f"{PARENT}/roots/session"):
        result = user.ok("run", "--bundle", own_bundle, "c1")
        assert result.out == f"0::{PARENT}/roots/session\n"
        assert (
            len(result.err.splitlines()) == 1
            and "level=warning" in result.err
            and "stays in the runtime's cgroup" in result.err
        )
        own_bundle.config["linux"]["resources"] = HUGE
        own_bundle.save()
        message = user.fails("run", "--bundle", own_bundle, "c1")
        assert (
            "linux.resources.hugepageLimits[0]" in message
            and "the caller may not write the cgroup: have one delegated to it" in message
        )
        own_bundle.config["linux"]["resources"] = {}
        own_bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/roots/x"
        own_bundle.save()
        assert "linux.cgroupsPath" in user.fails("run", "--bundle", own_bundle, "c1")
    assert user.ids() == []


def test_a_user_who_may_make_but_not_enter_stays(user, own_bundle):
    """Who writes neither the caller's cgroup nor one above both may not cross over: cgroup-v2.rst, Delegation."""
    own_bundle.without_namespace("cgroup").shell("grep ^0 /proc/self/cgroup").save()
    top = make(f"{PARENT}/gift/session").parent
    os.chown(top, UID, UID)  # the directory, but no cgroup.procs
    with inside(f"{PARENT}/gift/session"):
        result = user.ok("run", "--bundle", own_bundle, "c1")
        assert result.out == f"0::{PARENT}/gift/session\n"
        assert len(result.err.splitlines()) == 1 and "may not enter another" in result.err
        assert sorted(path.name for path in top.iterdir() if path.is_dir()) == ["session"]
        own_bundle.config["linux"]["cgroupsPath"] = "here"
        own_bundle.save()
        message = user.fails("run", "--bundle", own_bundle, "c1")
        assert "may not be entered from the runtime's own" in message
        assert sorted(path.name for path in top.iterdir() if path.is_dir()) == ["session"]
