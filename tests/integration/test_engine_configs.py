"""A config.json of each engine, as it was recorded, with its paths put in place, runs."""

import json
import os
import shutil
import subprocess

import pytest

from tests.integration.harness import LIMIT, PARENT, Bundle
from tests.unit.plans import DATA

LINES = "id -u; hostname; cat /proc/self/mountinfo | wc -l"


@pytest.fixture
def pause(tmp_path):
    """A process in namespaces of its own, whose files in /proc a config can name."""
    process = subprocess.Popen(
        ["unshare", "--net", "--ipc", "--uts", "--pid", "--fork", "sh", "-c", "echo; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    process.stdout.readline()
    children = open(f"/proc/{process.pid}/task/{process.pid}/children").read().split()
    yield children[0]
    process.stdin.close()
    process.stdout.close()
    process.wait(LIMIT)


def in_place(name, tmp_path, image, pause):
    """The bundle of a recorded config: its rootfs, sources of binds, namespaces, hooks and cgroup are the test's. Devices that the
    recording machine had and this one has not are left out."""
    config = json.loads((DATA / f"{name}.json").read_text())
    bundle = Bundle(tmp_path / name, config)
    shutil.copytree(image, bundle.rootfs, symlinks=True)
    config["root"]["path"] = "rootfs"
    mapped = config["linux"].get("uidMappings", [{"hostID": 0}])[0]["hostID"]
    for folder, _, files in os.walk(bundle.rootfs):
        for entry in (".", *files):
            os.lchown(os.path.join(folder, entry), mapped, mapped)
    config["mounts"] = [
        mount
        for mount in config["mounts"]
        if not mount["source"].startswith("/dev/") or os.path.exists(mount["source"])
    ]
    for index, mount in enumerate(config["mounts"]):
        if {"bind", "rbind"} & set(mount.get("options", ())) and not mount["source"].startswith(
            ("/dev/", "/sys", "/proc")
        ):
            # What engines bind are files in /etc, their init, and directories.
            source = tmp_path / f"source{index}"
            source.touch() if mount["destination"].startswith(("/etc", "/run/.", "/sbin")) else source.mkdir()
            mount["source"] = str(source)
    for space in config["linux"]["namespaces"]:
        if space.get("path"):
            space["path"] = f"/proc/{pause}/ns/{ {'network': 'net'}.get(space['type'], space['type']) }"
    for hook in config.get("hooks", {}).get("prestart", ()):
        (tmp_path / "hook").write_text(f"#!/bin/sh\ncat > {tmp_path}/hook-state\n")
        (tmp_path / "hook").chmod(0o755)
        hook.update(path=str(tmp_path / "hook"), args=["hook"])
    for limit in config["process"].get("rlimits", ()):
        # Root of this machine may not raise limits (MACHINE.md).
        limit["soft"] = limit["hard"] = 1024
    config["linux"]["cgroupsPath"] = f"{PARENT}/{name}"
    config["process"]["terminal"] = False
    return bundle.shell(LINES).save()


@pytest.mark.parametrize("name", ["buildah-020a", "containerd-001a", "containerd-014a", "docker-005a", "podman-042a"])
def test_it_runs(ocirt, tmp_path, image, pause, name):
    bundle = in_place(name, tmp_path, image, pause)
    user, hostname, mounts = ocirt.ok("run", "--bundle", bundle, "c1").out.splitlines()
    assert int(user) == bundle.config["process"]["user"]["uid"] and int(mounts) > len(bundle.config["mounts"])
    joined = {space["type"] for space in bundle.config["linux"]["namespaces"] if space.get("path")}
    assert hostname == bundle.config.get("hostname") or "uts" in joined or not bundle.config.get("hostname")
    if bundle.config.get("hooks"):
        assert json.loads((tmp_path / "hook-state").read_text())["status"] == "created"


@pytest.mark.v1
def test_one_without_root_runs(ocirt, tmp_path, image, pause):
    """podman's, which starts its runtime in a user namespace of its own. (It was recorded on a host with cgroup v1.)"""
    bundle = in_place("podman-rootless-212a", tmp_path, image, pause)
    bundle.config["process"]["user"].pop("additionalGids", None)  # one id is mapped here, and setgroups denied
    for mount in bundle.config["mounts"]:
        mount["options"] = [option for option in mount.get("options", ()) if not option.startswith("gid=")]
    bundle.save()
    command = ["unshare", "--user", "--map-root-user", "--mount", *ocirt.command("run", "--bundle", bundle, "c1")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0 and done.stdout.splitlines()[0] == "0", done
