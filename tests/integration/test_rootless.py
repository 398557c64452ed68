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


@pytest.mark.parametrize("variables, seen", [({"USER": "tester"}, "c1"), ({}, "c1"), ({"USER": "root"}, "c2")])
def test_default_root_of_root_in_a_user_namespace(user, tmp_path, variables, seen):
    """Rootless podman's runtime is root there, and its states are the user's. A root by name, as in a container, has /run."""
    home = tmp_path / "home"
    for place in (home / "ocirt/c1", home / "run/ocirt/c2"):
        place.mkdir(parents=True)
    for path in (home, *home.rglob("*")):
        os.chown(path, UID, UID)
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(home), **variables}
    # The launcher's idea and Python's: a container is there for state (cut off, so its status is all that is known), and for list.
    script = f'mount --bind {home}/run /run && "$0" state c1 >/dev/null 2>&1; echo $?; "$0" state c2 >/dev/null 2>&1; echo $?; "$0" list -q'
    done = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(user.executable)], **AS_USER, env=environment,
                          capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL, cwd="/")
    assert done.stdout.split() == {"c1": ["0", "1", "c1"], "c2": ["1", "0", "c2"]}[seen], done


def test_without_a_user_namespace(user, own_bundle):
    own_bundle.without_namespace("user")
    for name in ("uidMappings", "gidMappings"):
        del own_bundle.config["linux"][name]
    own_bundle.save()
    assert "linux.namespaces" in user.fails("create", "--bundle", own_bundle, "c1")
