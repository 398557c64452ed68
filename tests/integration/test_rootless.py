"""An unprivileged user: ids mapped by itself, or by newuidmap and newgidmap; cgroups passed over.

Run by root, the user exists in copies of /etc/passwd, /etc/subuid and so on, mounted over them in the tests' mount
namespace. Run by an unprivileged user (as hack/test --vm does), it is that user, who needs subordinate ids.
"""

import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT, MANAGER, TREE, Bundle, Runtime

pytestmark = pytest.mark.rootless

ROOT = os.geteuid() == 0
UID, NAME = (54321, "ocirt-tester") if ROOT else (os.geteuid(), pwd.getpwuid(os.geteuid()).pw_name)
AS_USER = {"user": UID, "group": UID, "extra_groups": []} if ROOT else {}
"""For subprocess: run as the user."""
SUBORDINATE = 700000 if ROOT else int(next(line for line in open("/etc/subuid") if line.startswith(f"{NAME}:")).split(":")[1])
"""The first of the user's subordinate ids, of users and of groups."""
ENTRIES = {"passwd": f"{NAME}:x:{UID}:{UID}::/nonexistent:/bin/sh\n", "group": f"{NAME}:x:{UID}:\n",
           "subuid": f"{NAME}:{SUBORDINATE}:65536\n", "subgid": f"{NAME}:{SUBORDINATE}:65536\n"}


class User(Runtime):
    """The runtime as the user calls it."""

    def __call__(self, *words, **more):
        return super().__call__(*words, cwd="/", **AS_USER, **more)


@pytest.fixture
def user(tmp_path):
    mounted = []
    for name, line in ENTRIES.items() if ROOT else ():
        copy = tmp_path / name
        copy.write_text((Path("/etc") / name).read_text() + line)
        subprocess.run(["mount", "--bind", copy, f"/etc/{name}"], check=True, timeout=10)
        mounted.append(f"/etc/{name}")
    # An installation that the user can read, wherever the tree lies.
    prefix = tmp_path / "prefix"
    python = next(each for each in (sys.executable, "/usr/bin/python3") if subprocess.run(
        ["sh", "-c", '"$0" -c ""', each], **AS_USER, timeout=LIMIT, stderr=subprocess.DEVNULL).returncode == 0)
    version = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True,
                             check=True, timeout=LIMIT).stdout.strip()
    package = prefix / f"lib/python{version}/site-packages/ocirt"
    shutil.copytree(TREE / "ocirt", package, ignore=shutil.ignore_patterns("__pycache__", "core"))
    shutil.copy(TREE / "build/meson/ocirt/_build.py", package)
    (prefix / "bin").mkdir()
    shutil.copy(TREE / "build/bin/ocirt", prefix / "bin")
    script = (TREE / "ocirt/core/ocirt-python.in").read_text().replace("@INTERPRETER@", python).replace("@TREE@", "")
    (prefix / "bin/ocirt-python").write_text(script)
    for folder in (tmp_path, *tmp_path.parents) if ROOT else ():
        folder.chmod(folder.stat().st_mode | 0o11)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, UID, UID)
    yield User(prefix / "bin/ocirt", home / "state")
    for place in mounted:
        subprocess.run(["umount", place], check=True, timeout=10)


@pytest.fixture
def own_bundle(user, image, tmp_path):
    path = tmp_path / "home/bundle"
    path.mkdir()
    shutil.copytree(image, path / "rootfs", symlinks=True)
    for folder, folders, files in os.walk(path):
        for name in ("", *folders, *files):
            os.chown(os.path.join(folder, name), UID, UID, follow_symlinks=False)
    user.ok("spec", "--rootless", "--bundle", path)
    config = json.loads((path / "config.json").read_text())
    config["process"]["terminal"] = False
    return Bundle(path, config)


def test_own_id(user, own_bundle):
    own_bundle.shell("id -u; cat /proc/self/uid_map /proc/self/setgroups; cat /dev/null; echo $?; touch /tmp/mine").save()
    own_bundle.config["root"]["readonly"] = False
    own_bundle.save()
    out = user.ok("run", "--bundle", own_bundle, "c1").out.split()
    assert out == ["0", "0", str(UID), "1", "deny", "0"]
    assert (own_bundle.rootfs / "tmp/mine").stat().st_uid == UID
    assert user.ids() == []


def test_subordinate_ids(user, own_bundle):
    """Ranges are mapped by newuidmap and newgidmap."""
    for name in ("uidMappings", "gidMappings"):
        own_bundle.config["linux"][name] = [{"containerID": 0, "hostID": UID, "size": 1}, {"containerID": 1, "hostID": SUBORDINATE, "size": 1000}]
    own_bundle.config["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}
    own_bundle.shell("id -u; id -G; cat /proc/self/uid_map").save()
    assert user.ok("run", "--bundle", own_bundle, "c1").out.split() == ["5", "6", "7", "0", str(UID), "1", "1", str(SUBORDINATE), "1000"]


def test_ids_that_are_not_ours(user, own_bundle):
    own_bundle.config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 1, "size": 10}]
    own_bundle.args("true").save()
    assert "linux.uidMappings" in user.fails("create", "--bundle", own_bundle, "c1")
    assert user.ids() == []


def test_life_with_time_namespace(user, own_bundle):
    own_bundle.namespace("time").config["linux"]["timeOffsets"] = {"boottime": {"secs": 5_000_000}}
    own_bundle.shell("cut -d. -f1 /proc/uptime; sleep 60").save()
    user.ok("create", "--bundle", own_bundle, "c1")
    assert user.status("c1") == "created"
    user.ok("start", "c1")
    assert user.status("c1") == "running"
    user.ok("kill", "c1", "KILL")
    user.wait_status("c1", "stopped")
    user.ok("delete", "c1")


def test_exec(user, own_bundle):
    """The user owns the user namespace, which is all that joining needs."""
    own_bundle.args("sleep", "60").config["process"]["oomScoreAdj"] = 200
    own_bundle.save()
    user.ok("run", "-d", "--bundle", own_bundle, "c1")
    out = user.ok("exec", "c1", "sh", "-c", "id -u; readlink /proc/self/ns/pid; readlink /proc/self/ns/user; cat /proc/self/oom_score_adj; hostname").out.split()
    pid = user.state("c1")["pid"]
    assert out == ["0", os.readlink(f"/proc/{pid}/ns/pid"), os.readlink(f"/proc/{pid}/ns/user"), "200", "ocirt"]
    assert "executable file not found" in user.fails("exec", "c1", "nosuch", status=255)
    user.ok("delete", "--force", "c1")


def test_default_root(user, own_bundle, tmp_path):
    """Without --root the state lies in $XDG_RUNTIME_DIR/ocirt."""
    own_bundle.args("sleep", "60").save()
    command = [str(user.executable), *MANAGER, "create", "--bundle", str(own_bundle), "c1"]
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / "home")}
    subprocess.run(command, **AS_USER, env=environment, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert (tmp_path / "home/ocirt/c1/state.json").exists() and (tmp_path / "home/ocirt").stat().st_mode & 0o777 == 0o700
    subprocess.run([str(user.executable), "delete", "--force", "c1"], **AS_USER, env=environment, check=True,
                   timeout=LIMIT, stdin=subprocess.DEVNULL)
    assert not (tmp_path / "home/ocirt/c1").exists()


def test_without_a_user_namespace(user, own_bundle):
    own_bundle.without_namespace("user")
    for name in ("uidMappings", "gidMappings"):
        del own_bundle.config["linux"][name]
    own_bundle.save()
    assert "linux.namespaces" in user.fails("create", "--bundle", own_bundle, "c1")
