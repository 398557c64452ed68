"""Called as runc or crun, by a link or by --as: the differences of model/peers.py, and none of them under the own name."""

import json
import os

import pytest

from tests.integration.harness import Runtime

BOTH = pytest.mark.parametrize("by", ["link", "flag"])


def called(ocirt, tmp_path, name, by):
    """The runtime by another name, and the options that go with it."""
    if by == "flag":
        return ocirt, ("--as", name)
    (tmp_path / "bin").mkdir(exist_ok=True)
    link = tmp_path / "bin" / name
    if not link.is_symlink():
        link.symlink_to(ocirt.executable)
    return Runtime(link, ocirt.root), ()


@BOTH
def test_delete_of_a_created_container(ocirt, bundle, tmp_path, by):
    """runc's: buildah deletes what it has created and not started, and counts on its end."""
    bundle.args("sleep", "60").save()
    for name, ends in (("ocirt", False), ("crun", False), ("runc", True)):
        runtime, options = called(ocirt, tmp_path, name, by)
        runtime.ok("create", "--bundle", bundle, "c1", options=options)
        result = runtime("delete", "c1", options=options)
        assert (result.status == 0) is ends and (ocirt.ids() == []) is ends, result
        if not ends:
            assert "cannot delete container c1 that is not stopped: created" in result.err
            ocirt.ok("delete", "--force", "c1")
    runtime, options = called(ocirt, tmp_path, "runc", by)
    runtime.ok("run", "--detach", "--bundle", bundle, "c1", options=options)
    assert "not stopped: running" in runtime.fails("delete", "c1", options=options)


@BOTH
@pytest.mark.parametrize("paths, flag", [("readonlyPaths", "ro"), ("maskedPaths", "ro,.*nr_inodes=1")])
def test_a_relative_path(ocirt, bundle, tmp_path, by, paths, flag):
    """runc's and crun's, to whom an empty one names nothing. What is kept under one name serves no other."""
    bundle.config["linux"] |= {"readonlyPaths": [], "maskedPaths": [], paths: ["proc/sys", ""]}
    bundle.shell(f"grep -c '^[^ ]* /proc/sys [^ ]* {flag}' /proc/mounts; touch /f").save()
    bundle.config["root"]["readonly"] = False
    bundle.save()
    for name in ("runc", "crun", "ocirt", "runc", "ocirt"):
        runtime, options = called(ocirt, tmp_path, name, by)
        if name == "ocirt":
            assert f'linux.{paths}[0]: found \\"proc/sys\\", expected an absolute path' in runtime.fails(
                "run", "--bundle", bundle, "c1", options=options
            )
        else:
            result = runtime.ok("run", "--bundle", bundle, "c1", options=options)
            assert (result.out, result.err) == ("1\n", "")


@BOTH
def test_a_user_namespace_without_mappings(ocirt, bundle, tmp_path, by):
    """crun's: the ids up to the process' own are those of the host."""
    bundle.namespace("user")
    bundle.config["process"]["user"] = {"uid": 5, "gid": 7}
    bundle.shell("cat /proc/self/uid_map /proc/self/gid_map; id -u").save()
    for name in ("crun", "runc", "ocirt"):
        runtime, options = called(ocirt, tmp_path, name, by)
        if name == "crun":
            assert runtime.ok("run", "--bundle", bundle, "c1", options=options).out.split() == [
                "0",
                "0",
                "6",
                "0",
                "0",
                "8",
                "5",
            ]
        else:
            assert "linux.uidMappings: found nothing" in runtime.fails("run", "--bundle", bundle, "c1", options=options)


def test_the_name_is_kept(ocirt, bundle, tmp_path):
    """Later verbs and exec of a container go by the name by which it was created."""
    bundle.config["linux"]["readonlyPaths"] = ["proc/sys"]
    bundle.args("sleep", "60").save()
    runtime, _ = called(ocirt, tmp_path, "crun", "link")
    runtime.ok("run", "--detach", "--bundle", bundle, "c1")
    assert json.loads((ocirt.root / "c1/state.json").read_text())["request"]["as"] == "crun"
    assert ocirt.ok("exec", "c1", "echo", "here").out == "here\n"
    ocirt.ok("update", "--pids-limit", "50", "c1")
    ocirt.ok("kill", "c1", "KILL")


def test_pythons_verbs_hear_of_it(ocirt, bundle, tmp_path):
    bundle.config["linux"]["readonlyPaths"] = ["proc/sys"]
    bundle.save()
    runtime, _ = called(ocirt, tmp_path, "runc", "link")
    assert "/proc/sys" in runtime.ok("plan", bundle).out
    assert "expected an absolute path" in ocirt.fails("plan", bundle)
    assert os.path.basename(runtime.executable) == "runc" and runtime.ok("delete", "-force=T", "c1").status == 0
    assert r"found \"podman\", expected ocirt, runc or crun" in ocirt("list", options=("--as", "podman")).err
