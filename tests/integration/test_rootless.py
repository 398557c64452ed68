"""An unprivileged user: ids mapped by itself, or by newuidmap and newgidmap; cgroups passed over.

Run by root, the user exists in copies of /etc/passwd, /etc/subuid and so on, mounted over them in the tests' mount
namespace. Run by an unprivileged user (as hack/test --vm does), it is that user, who needs subordinate ids.
"""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from ocirt.model import crun
from tests.integration.harness import (
    AS_USER,
    LIMIT,
    MANAGER,
    PARENT,
    ROOT,
    SUBORDINATE,
    UID,
    hierarchies,
    remove_cgroups,
)

pytestmark = pytest.mark.rootless


def test_own_id(user, own_bundle):
    own_bundle.shell(
        "id -u; cat /proc/self/uid_map /proc/self/setgroups; cat /dev/null; echo $?; touch /tmp/mine"
    ).save()
    own_bundle.config["root"]["readonly"] = False
    own_bundle.save()
    out = user.ok("run", "--bundle", own_bundle, "c1").out.split()
    assert out == ["0", "0", str(UID), "1", "deny", "0"]
    assert (own_bundle.rootfs / "tmp/mine").stat().st_uid == UID
    assert user.ids() == []


@pytest.mark.skipif(not ROOT, reason="makes cgroups that are not the user's")
@pytest.mark.cgroupfs
def test_a_cgroup_of_that_name_is_roots(user, own_bundle):
    """The cgroup of a config without a path has the container's name: root may have such a container, too."""
    name = PARENT[1:]
    for hierarchy in hierarchies():
        (hierarchy / name).mkdir()
    own_bundle.args("cat", "/proc/self/cgroup").save()
    result = user("run", "--bundle", own_bundle, name)
    assert result.status == 0 and name not in result.out, result
    assert all((hierarchy / name).exists() for hierarchy in hierarchies())
    assert user.ids() == []
    remove_cgroups()


def test_subordinate_ids(user, own_bundle):
    """Ranges are mapped by newuidmap and newgidmap."""
    for name in ("uidMappings", "gidMappings"):
        own_bundle.config["linux"][name] = [
            {"containerID": 0, "hostID": UID, "size": 1},
            {"containerID": 1, "hostID": SUBORDINATE, "size": 1000},
        ]
    own_bundle.config["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}
    own_bundle.shell("id -u; id -G; cat /proc/self/uid_map").save()
    assert user.ok("run", "--bundle", own_bundle, "c1").out.split() == [
        "5",
        "6",
        "7",
        "0",
        str(UID),
        "1",
        "1",
        str(SUBORDINATE),
        "1000",
    ]


def test_ids_that_are_not_ours(user, own_bundle):
    own_bundle.config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 1, "size": 10}]
    own_bundle.args("true").save()
    assert "linux.uidMappings" in user.fails("create", "--bundle", own_bundle, "c1")
    assert user.ids() == []


@pytest.mark.parametrize("own_mounts", [["--mount"], []], ids=["own mount namespace", "the host's"])
def test_paths_of_the_user_alone(user, own_bundle, own_mounts):
    """A user's engine runs the runtime as root of a user namespace, and maps the container's root to a subordinate id
    (podman's --userns nomap, auto, --uidmap). That id cannot pass a directory like /run/user/UID, whose sources the
    engine binds, nor reach the rootfs. If the mount namespace is the host's, only init can clone mounts.
    """
    closed = own_bundle.path.parent / "closed"
    (closed / "folder").mkdir(parents=True)
    (closed / "file").write_text("bound\n")
    for path in (closed / "folder", closed / "file", closed):
        os.chown(path, UID, UID)
    for name in ("uidMappings", "gidMappings"):
        own_bundle.config["linux"][name] = [{"containerID": 0, "hostID": 1, "size": 1000}]
    for path in (closed, own_bundle.path) if own_mounts else ():
        path.chmod(0o700)
    own_bundle.config["mounts"] += [
        {"destination": "/tmp/file", "source": str(closed / "file"), "options": ["bind", "ro"]},
        {"destination": "/mnt", "source": str(closed / "folder"), "options": ["rbind"]},
    ]
    own_bundle.shell("id -u; cat /proc/self/uid_map /tmp/file; stat -c %u /mnt").save()
    (own_bundle.rootfs / "tmp/file").touch()
    (own_bundle.rootfs / "mnt").mkdir(exist_ok=True)
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--map-auto",
        *own_mounts,
        *user.command("run", "--bundle", own_bundle, "c1"),
    ]
    done = subprocess.run(
        command, **AS_USER, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.stdout.split() == ["0", "0", "1", "1000", "bound", "65534"], done


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
    out = user.ok(
        "exec",
        "c1",
        "sh",
        "-c",
        "id -u; readlink /proc/self/ns/pid; readlink /proc/self/ns/user; cat /proc/self/oom_score_adj; hostname",
    ).out.split()
    pid = user.state("c1")["pid"]
    assert out == ["0", os.readlink(f"/proc/{pid}/ns/pid"), os.readlink(f"/proc/{pid}/ns/user"), "200", "ocirt"]
    assert "executable file not found" in user.fails("exec", "c1", "nosuch", status=255)
    user.ok("delete", "--force", "c1")


@pytest.mark.v1
@pytest.mark.parametrize(
    "resources, at",
    [
        ({"memory": {"limit": 64 << 20}}, "linux.resources.memory.limit"),
        ({"pids": {"limit": 5}, "cpu": {"shares": 100}}, "linux.resources.cpu.shares"),
    ],
)
def test_a_limit_that_cannot_be_had(user, own_bundle, resources, at):
    """An error that names it and the ways out; only who says so goes without, and hears of each."""
    own_bundle.args("true").config["linux"]["resources"] = resources
    own_bundle.save()
    message = user.fails("run", "--bundle", own_bundle, "c1")
    assert at in message and "systemd" in message and "delegated" in message and "--rootless true" in message
    assert user.ids() == []
    assert "linux.cgroupsPath: make cgroup" in user.fails(
        "create", "--bundle", own_bundle, "c1", options=("--rootless", "false")
    )
    result = user("run", "--bundle", own_bundle, "c1", options=("--rootless", "true"))
    warnings = [line for line in result.err.splitlines() if "level=warning" in line]
    assert result.status == 0 and len(warnings) == len(resources), result
    assert any(f"{at}: this limit is not applied" in line for line in warnings)


@pytest.mark.v1
def test_a_cgroup_mount_shows_the_callers_own(user, own_bundle):
    """config-linux.md, "Cgroups Path", says nothing of it: as with runc, where no cgroup could be made for the container."""
    own_bundle.config["mounts"].append(
        {"destination": "/cg", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]}
    )
    own_bundle.shell("cat /cg/pids/cgroup.procs; mkdir /cg/pids/x 2>&1").save()
    lines = user("run", "--bundle", own_bundle, "c1").out.splitlines()
    assert "1" in lines and "Read-only file system" in lines[-1]


def test_default_root(user, own_bundle, tmp_path):
    """Without --root the state lies in $XDG_RUNTIME_DIR/ocirt."""
    own_bundle.args("sleep", "60").save()
    command = [str(user.executable), *MANAGER, "create", "--bundle", str(own_bundle), "c1"]
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / "home")}
    subprocess.run(
        command,
        **AS_USER,
        env=environment,
        check=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert (tmp_path / "home/ocirt/c1/state.json").exists() and (
        tmp_path / "home/ocirt"
    ).stat().st_mode & 0o777 == 0o700
    subprocess.run(
        [str(user.executable), "delete", "--force", "c1"],
        **AS_USER,
        env=environment,
        check=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
    )
    assert not (tmp_path / "home/ocirt/c1").exists()


@pytest.mark.parametrize("variables, seen", [({"USER": "tester"}, "c1"), ({}, "c1"), ({"USER": "root"}, "c2")])
def test_default_root_of_root_in_a_user_namespace(user, tmp_path, variables, seen):
    """Rootless podman's runtime is root there, and its states are the user's. A root by name, as in a container, has /run."""
    home = tmp_path / "home"
    for place in (home / "ocirt/c1", home / "run/ocirt/c2"):
        place.mkdir(parents=True)
    for path in (home, *home.rglob("*")):
        os.chown(path, UID, UID)
        path.chmod(0o700)  # with forky's umask 002 others could write, and the runtime refuses such a state
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(home), **variables}
    # The launcher's idea and Python's: a container is there for state (cut off, so its status is all that is known), and for list.
    script = f'mount --bind {home}/run /run && "$0" state c1 >/dev/null 2>&1; echo $?; "$0" state c2 >/dev/null 2>&1; echo $?; "$0" list -q'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(user.executable)],
        **AS_USER,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
        cwd="/",
    )
    assert done.stdout.split() == {"c1": ["0", "1", "c1"], "c2": ["1", "0", "c2"]}[seen], done


@pytest.mark.skipif(not ROOT, reason="gives the user a run-time directory")
@pytest.mark.parametrize("there", [True, False])
def test_default_root_without_a_variable(user, own_bundle, there):
    """/run/user/UID, where login managers have it; where it is not, the error says what to set."""
    own_bundle.args("sleep", "60").save()
    script = (
        f"mount -t tmpfs none /run && mkdir -p /run/user && {'mkdir' if there else ':'} -m 700 /run/user/{UID} && "
        f"{'chown' if there else ':'} {UID}:{UID} /run/user/{UID}; "
        f'as() {{ setpriv --reuid {UID} --regid {UID} --clear-groups env -i PATH=/usr/bin:/bin "$@"; }}; '
        f'as "$0" create --bundle {own_bundle} c1 </dev/null >/dev/null && as "$0" list -q && ls -d /run/user/{UID}/ocirt/c1; '
        f'as "$0" delete --force c1'
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(user.executable)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
        cwd="/",
    )
    if there:
        assert done.stdout.split() == ["c1", f"/run/user/{UID}/ocirt/c1"], done
    else:
        assert (
            f"--root /run/user/{UID}/ocirt: no such file or directory; set XDG_RUNTIME_DIR to a directory of this user"
            in done.stderr
        ), done


def test_the_config_of_spec_runs_as_it_stands(user, own_bundle):
    """With a terminal, as it asks for one."""
    master, slave = pty.openpty()
    os.write(master, b"id -u; exit 3\n")
    child = subprocess.Popen(
        user.command("run", "--bundle", own_bundle, "c1"), stdin=slave, stdout=slave, stderr=slave, cwd="/", **AS_USER
    )
    os.close(slave)
    text = b""
    try:
        while piece := os.read(master, 4096):
            text += piece
    except OSError:  # EIO: nobody has the terminal open any more
        pass
    os.close(master)
    assert child.wait(LIMIT) == 3 and "0" in text.decode().split(), text


def test_spec_says_what_a_user_needs(user, tmp_path):
    """spec without --rootless is root's, and the error of its create and --help name what a user has instead."""
    os.chmod(tmp_path, 0o777)
    assert "for this user: ocirt spec --rootless" in user.ok("spec", "--bundle", tmp_path).err
    assert "ocirt spec --rootless" in user.fails("run", "--bundle", tmp_path, "c1")
    os.unlink(tmp_path / "config.json")
    assert user.ok("spec", "--rootless", "--bundle", tmp_path).err == ""
    assert "ocirt spec --rootless" in user.ok("--help").out


def test_without_a_user_namespace(user, own_bundle):
    own_bundle.without_namespace("user")
    for name in ("uidMappings", "gidMappings"):
        del own_bundle.config["linux"][name]
    own_bundle.save()
    assert "linux.namespaces" in user.fails("create", "--bundle", own_bundle, "c1")


# ---- the library ----

LIBRARY = """
import sys, warnings
warnings.simplefilter("always")
import ocirt
rootfs, root, how, memory = sys.argv[1:]
runtime = ocirt.Runtime(root=root)
code = "set -o pipefail; dd if=/dev/zero bs=200M count=1 2>/dev/null | wc -c"
config = ocirt.sandbox(["sh", "-c", code], memory=None if memory == "-" else memory, processes=None, cpus=None)
try:
    result = ocirt.run(config=config, rootfs=rootfs, runtime=runtime, limits=how)
    print(result.returncode, result.oom, result.text.strip())
except ocirt.OcirtError as error:
    print(type(error).__name__, error.path, error)
"""


@pytest.fixture
def sandboxed(user, own_bundle, tmp_path):
    """Runs a sandbox that takes 200 MB, as the user: what a program of the library's prints, and what it warns of."""
    site = next((tmp_path / "prefix/lib").glob("python*/site-packages"))
    python = (tmp_path / "prefix/bin/ocirt-python").read_text().splitlines()[0].removeprefix("#!")

    def run(memory, how="required"):
        done = subprocess.run(
            [python, "-c", LIBRARY, str(own_bundle.rootfs), str(user.root), how, memory],
            env={"PYTHONPATH": str(site)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            **AS_USER,
        )
        assert done.returncode == 0, done
        return done.stdout.strip(), done.stderr

    return run


@pytest.mark.cgroupfs
@pytest.mark.cgroups
def test_a_users_sandbox_is_limited_or_not_run(sandboxed):
    """Never run without its limit and without a word: where the user may not make cgroups, and no systemd makes one."""
    out, _ = sandboxed("64m")
    if out.startswith("HostError"):
        assert out.startswith(
            "HostError linux.resources.memory.limit linux.resources.memory.limit: this user may not make cgroups"
        )
        assert 'limits="best-effort"' in out
    else:  # the user has a session: the container's memory has run out
        assert out.split()[:2] == ["137", "True"]
    assert sandboxed("-") == ("0 False 209715200", "")


@pytest.mark.cgroupfs
@pytest.mark.cgroups
def test_a_users_limits_as_best_they_can(sandboxed):
    out, warned = sandboxed("64m", "best-effort")
    assert (
        out == "0 False 209715200"
        and re.search("RuntimeWarning: container .*: linux.resources.memory.limit: this limit is not applied", warned)
        or out.startswith("137 True")
    )


@pytest.mark.cgroups
def test_a_subgroup_by_the_users_own_systemd(user, own_bundle):
    """run.oci.systemd.subgroup and run.oci.delegate-cgroup beneath the scope that the user's manager makes; the second container has
    the kept program of the first."""
    if ROOT or not os.path.exists(f"/run/user/{UID}/systemd/private"):
        pytest.skip("needs a user with a systemd of their own: hack/test tests/vm/test_rootless.py")
    own_bundle.config["annotations"] = {crun.SUBGROUP: "sub", crun.DELEGATE: "in"}
    own_bundle.config["linux"]["cgroupsPath"] = ":ocirt:sub"
    own_bundle.config["linux"]["resources"] = {"memory": {"limit": 1 << 28}, "pids": {"limit": 50}}
    own_bundle.args("sleep", "600").save()
    cache = own_bundle.path.parent / "cache"
    cache.mkdir(mode=0o700)
    for kept in (False, True):
        done = user.ok(
            "create",
            "--bundle",
            own_bundle,
            "c1",
            options=["--log-level", "debug", "--cgroup-manager", "systemd"],
            env={**os.environ, "OCIRT_CACHE": str(cache)},
        )
        assert ("no kept program" in done.err) is not kept, done
        path = Path(f"/proc/{user.state('c1')['pid']}/cgroup").read_text().strip()
        assert path.endswith("/user.slice/ocirt-sub.scope/sub/in"), path
        sub = Path("/sys/fs/cgroup" + path.removeprefix("0::")).parent
        assert (sub / "memory.max").read_text() == f"{1 << 28}\n" and (sub / "pids.max").read_text() == "50\n"
        user.ok("start", "c1")
        assert user.ok("exec", "c1", "cat", "/proc/self/cgroup").out.endswith("/in\n")
        user.ok("kill", "c1", "KILL")
        user.wait_status("c1", "stopped")
        user.ok("delete", "c1")
        assert not sub.parent.exists()
