"""Containers whose cgroups systemd makes: on a host that systemd runs, with cgroup v2 (hack/test --vm)."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.harness import CGROUPS, LIMIT, built
from tests.integration.test_cache import cache, executed  # noqa: F401 (a fixture)
from tests.integration.test_faults import fault, steps_of

pytestmark = pytest.mark.systemd
SLICE = "ocirttest.slice"
MANAGER = ("--cgroup-manager=systemd",)


@pytest.fixture(autouse=True)
def emptied(ocirt):
    """Nothing of a test's is left with systemd."""
    yield
    for name in ocirt.ids():
        ocirt("delete", "--force", name)
    left = units()
    subprocess.run(["systemctl", "stop", SLICE], timeout=LIMIT, check=True)
    assert left == []


@pytest.fixture
def scope(bundle):
    bundle.config["linux"]["cgroupsPath"] = f"{SLICE}:test:c1"
    return bundle.save()


def units():
    return [
        line.split()[0]
        for line in systemctl(
            "list-units", "--all", "--plain", "--no-legend", "test-*.scope", "ocirt-*.scope"
        ).splitlines()
    ]


def systemctl(*words):
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=LIMIT, check=True).stdout


def show(unit, *names):
    """Properties of a unit, as a list."""
    found = dict(
        line.partition("=")[::2]
        for line in systemctl("show", unit, *(f"--property={name}" for name in names)).splitlines()
    )
    return [found.get(name) for name in names]


def create(ocirt, bundle, name="c1", **more):
    return ocirt.ok("create", "--bundle", bundle, name, options=MANAGER, **more)


def refused(ocirt, bundle, name="c1", **more):
    """The message of the one line with which create fails, leaving nothing."""
    more.setdefault("options", MANAGER)
    message = ocirt.fails("create", "--bundle", bundle, name, **more)
    assert ocirt.ids() == []
    return json.loads(message)


def folder(path=f"/{SLICE}/test-c1.scope"):
    return CGROUPS / path[1:]


def read(file, **more):
    return (folder(**more) / file).read_text().strip()


# ---- what is not the container's ----


@pytest.mark.parametrize("place", ["", "/child", "/child/deep"])
def test_a_stray_cgroup_of_the_units_name_with_processes(ocirt, scope, place):
    """There is no unit, so systemd would use it: whoever is in it would be stopped with the scope."""
    place = folder() / place[1:]
    place.mkdir(parents=True)
    process = subprocess.Popen(["sleep", "600"])
    try:
        (place / "cgroup.procs").write_text(str(process.pid))
        assert "has processes in it" in refused(ocirt, scope)
        assert process.poll() is None and place.exists()
    finally:
        process.kill()
        process.wait()
        for path in (place, *place.parents)[: len(place.relative_to(folder()).parts) + 1]:
            path.rmdir()


# ---- a user's own manager ----


@pytest.fixture
def session():
    """A user whose manager runs; what it calls does not begin in its cgroups."""
    user = pwd.getpwnam("tester")
    subprocess.run(["loginctl", "enable-linger", user.pw_name], timeout=LIMIT, check=True)
    subprocess.run(["systemctl", "start", f"user@{user.pw_uid}.service"], timeout=LIMIT, check=True)
    yield user
    subprocess.run(["loginctl", "disable-linger", user.pw_name], timeout=LIMIT, check=True)


class Caller:
    """The runtime as the user calls it, in the mount namespace of the host, where its manager's sockets are."""

    def __init__(self, folder, image, user, resources):
        self.folder, self.user = folder, user
        folder.parent.chmod(0o755), folder.parent.parent.chmod(0o755)
        shutil.copytree(image, folder / "rootfs", symlinks=True)
        for path, folders, files in os.walk(folder):
            for name in ("", *folders, *files):
                os.chown(os.path.join(path, name), user.pw_uid, user.pw_gid, follow_symlinks=False)
        assert self("spec", "--rootless", "--bundle", folder).returncode == 0
        self.change(lambda config: config["process"].update(terminal=False, args=["sleep", "60"]))
        self.change(lambda config: config["linux"].update(resources=resources))

    def change(self, change):
        config = json.loads((self.folder / "config.json").read_text())
        change(config)
        (self.folder / "config.json").write_text(json.dumps(config))

    def __call__(self, *words, session=True):
        variables = [
            f"PATH={os.environ['PATH']}",
            *([f"XDG_RUNTIME_DIR=/run/user/{self.user.pw_uid}"] if session else []),
        ]
        command = [
            "nsenter",
            "--target",
            "1",
            "--mount",
            "setpriv",
            f"--reuid={self.user.pw_uid}",
            f"--regid={self.user.pw_gid}",
            "--clear-groups",
            "env",
            "-i",
            *variables,
            built("bin"),
            "--root",
            self.folder / "state",
            *words,
        ]
        # A file, not a pipe: what `run --detach` leaves running keeps it open.
        with open(self.folder / "out", "w+") as out:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=LIMIT
            )
            out.seek(0)
            done.stdout = out.read()
        return done


def test_a_users_limit_is_set_by_its_own_manager(tmp_path_factory, image, session):
    """Without --systemd-cgroup: the user may not make a cgroup where it calls from."""
    ocirt = Caller(
        tmp_path_factory.mktemp("user"), image, session, {"memory": {"limit": 64 << 20}, "pids": {"limit": 20}}
    )
    done = ocirt("run", "--detach", "--bundle", ocirt.folder, "c1")
    assert done.returncode == 0, done
    pid = json.loads(ocirt("state", "c1").stdout)["pid"]
    place = CGROUPS / Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")
    assert str(place).endswith(f"user@{session.pw_uid}.service/user.slice/ocirt-c1.scope")
    assert ((place / "memory.max").read_text(), (place / "pids.max").read_text()) == (f"{64 << 20}\n", "20\n")
    assert ocirt("update", "--memory", str(80 << 20), "c1").returncode == 0
    assert (place / "memory.max").read_text() == f"{80 << 20}\n"
    assert ocirt("kill", "--all", "c1", "KILL").returncode == 0
    deleted = ocirt("delete", "--force", "c1")
    assert deleted.returncode == 0 and not place.exists(), deleted


def test_a_users_limit_without_a_session(tmp_path_factory, image, session):
    ocirt = Caller(tmp_path_factory.mktemp("user"), image, session, {"memory": {"limit": 64 << 20}})
    ocirt.change(lambda config: config["process"].update(args=["true"]))
    failed = ocirt("run", "--bundle", ocirt.folder, "c1", session=False)
    assert (
        failed.returncode == 1
        and "linux.resources.memory.limit" in failed.stdout
        and "--rootless true" in failed.stdout
    ), failed
    done = ocirt("--rootless", "true", "run", "--bundle", ocirt.folder, "c1", session=False)
    assert done.returncode == 0 and "linux.resources.memory.limit: this limit is not applied" in done.stdout, done


# ---- the life of a container ----


def test_life(ocirt, scope):
    """runtime.md, lifecycle."""
    create(ocirt, scope)
    assert show(
        "test-c1.scope", "Description", "Slice", "ControlGroup", "ActiveState", "Delegate", "DefaultDependencies"
    ) == ["ocirt container c1", SLICE, f"/{SLICE}/test-c1.scope", "active", "yes", "no"]
    assert read("cgroup.procs") == str(ocirt.state("c1")["pid"])
    ocirt.ok("start", "c1")
    assert ocirt.status("c1") == "running"
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    ocirt.ok("delete", "c1")
    assert units() == [] and not folder().exists() and ocirt.ids() == []
    assert "container does not exist" in ocirt.fails("delete", "c1")


def test_the_name_is_free_at_once(ocirt, scope):
    for _ in range(5):
        scope.args("true").save()
        assert ocirt.ok("run", "--bundle", scope, "c1", options=MANAGER).err == ""


def test_kill_all(ocirt, scope):
    scope.shell("sleep 600 & sleep 600 & mkdir -p /sys/fs/cgroup/x; wait").save()
    create(ocirt, scope)
    ocirt.ok("start", "c1")
    end = time.monotonic() + LIMIT
    while len(read("cgroup.procs").split()) < 3:
        assert time.monotonic() < end
        time.sleep(0.05)
    ocirt.ok("kill", "--all", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    ocirt.ok("delete", "c1")


def test_delete_takes_cgroups_of_the_containers_own(ocirt, scope):
    create(ocirt, scope)
    (folder() / "a/b").mkdir(parents=True)
    (folder() / "a/b/cgroup.procs").write_text(read("cgroup.procs"))
    ocirt.ok("delete", "--force", "c1")
    assert not folder().exists()


def test_a_unit_that_somebody_has_stopped(ocirt, scope):
    create(ocirt, scope)
    systemctl("kill", "--signal=KILL", "test-c1.scope")
    ocirt.wait_status("c1", "stopped")
    assert show("test-c1.scope", "LoadState", "ActiveState") in (["not-found", "inactive"], ["loaded", "inactive"])
    assert ocirt.ok("delete", "c1").err == ""


def test_default_scope(ocirt, bundle):
    """config-linux.md, "Cgroups Path": without one the runtime chooses."""
    del bundle.config["linux"]["cgroupsPath"]
    create(ocirt, bundle.save())
    assert show("ocirt-c1.scope", "ControlGroup") == ["/system.slice/ocirt-c1.scope"]
    ocirt.ok("delete", "--force", "c1")


@pytest.mark.parametrize(
    "path, cgroup",
    [
        ("ocirttest-a-b.slice:test:c1", f"/{SLICE}/ocirttest-a.slice/ocirttest-a-b.slice/test-c1.scope"),
        ("-.slice:test:c1", "/test-c1.scope"),
        (":test:c1", "/system.slice/test-c1.scope"),
        (f"{SLICE}::test-c1", f"/{SLICE}/test-c1.scope"),
    ],
)
def test_slices(ocirt, bundle, path, cgroup):
    bundle.config["linux"]["cgroupsPath"] = path
    create(ocirt, bundle.save())
    assert show("test-c1.scope", "ControlGroup") == [cgroup] and read("cgroup.procs", path=cgroup)
    ocirt.ok("delete", "--force", "c1")
    assert not folder(cgroup).exists()


@pytest.mark.parametrize(
    "path",
    [
        "/ocirt-test/c1",
        "test.slice:c1",
        "a:b:c:d",
        "test:x:c1",
        "a--b.slice:x:c1",
        ".slice:x:c1",
        f"{SLICE}:x:../c1",
        f"{SLICE}:x:",
    ],
)
def test_paths_that_are_none(ocirt, bundle, path):
    bundle.config["linux"]["cgroupsPath"] = path
    assert re.search(r'linux\.cgroupsPath: found ".*", expected slice:prefix:name', refused(ocirt, bundle.save()))


def test_a_slice_holds_no_process(ocirt, bundle):
    bundle.config["linux"]["cgroupsPath"] = f"{SLICE}:x:ocirttest-c1.slice"
    assert "expected the name of a scope" in refused(ocirt, bundle.save())


@pytest.mark.parametrize("kind", ["user", "time", "path"])
def test_with_other_processes_on_the_way(ocirt, scope, kind):
    """The stage, where there is one, is what systemd is told of; init is born in the scope. So is a container with a user
    namespace."""
    linux = scope.config["linux"]
    if kind == "user":
        scope.namespace("user")
        for name in ("uidMappings", "gidMappings"):
            linux[name] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        os.chmod(scope.path, 0o755)
        for each in scope.path.parents:
            os.chmod(each, each.stat().st_mode | 0o11)
    elif kind == "time":
        scope.namespace("time")
        linux["timeOffsets"] = {"boottime": {"secs": 100}}
    else:
        scope.namespace("uts", "/proc/self/ns/uts")
        scope.config.pop("hostname")
    scope.shell("sleep 600").save()
    create(ocirt, scope)
    ocirt.ok("start", "c1")
    assert read("cgroup.procs") == str(ocirt.state("c1")["pid"])
    ocirt.ok("delete", "--force", "c1")


def test_cgroup_namespace_and_delegation(ocirt, scope):
    """config-linux.md, "Cgroup ownership"."""
    scope.namespace("cgroup")
    scope.config["mounts"] = [each for each in scope.config["mounts"] if each["destination"] != "/sys/fs/cgroup"]
    scope.config["mounts"].append(
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]}
    )
    scope.shell(
        "cat /proc/self/cgroup; mkdir /sys/fs/cgroup/x && test -e /sys/fs/cgroup/x/cgroup.procs && echo made"
    ).save()
    result = ocirt.ok("run", "--bundle", scope, "c1", options=MANAGER)
    assert result.out.split("\n") == ["0::/", "made", ""], result


# ---- limits ----

LIMITS = {
    "memory": {"limit": 256 << 20, "reservation": 64 << 20, "swap": 384 << 20},
    "cpu": {"shares": 2048, "quota": 25000, "period": 50000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 33},
    "unified": {"memory.high": "200000000"},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}],
}
FILES = {
    "memory.max": str(256 << 20),
    "memory.low": str(64 << 20),
    "memory.swap.max": str(128 << 20),
    "cpu.max": "25000 50000",
    "cpuset.cpus": "0",
    "cpuset.mems": "0",
    "pids.max": "33",
    "memory.high": str(200000000 // 4096 * 4096),
    "hugetlb.2MB.max": str(4 << 20),
}
SHOWN = {
    "MemoryMax": str(256 << 20),
    "MemoryLow": str(64 << 20),
    "MemorySwapMax": str(128 << 20),
    "CPUQuotaPerSecUSec": "500ms",
    "CPUQuotaPeriodUSec": "50ms",
    "TasksMax": "33",
    "AllowedCPUs": "0",
    "AllowedMemoryNodes": "0",
    "MemoryHigh": "200000000",
    "MemoryAccounting": "yes",
    "IOAccounting": "yes",
    "TasksAccounting": "yes",
}


def test_limits(ocirt, scope):
    """Read back from systemd and from the kernel; systemd, set to work anew, leaves them as they are."""
    scope.config["linux"]["resources"] = LIMITS
    create(ocirt, scope.save())
    assert dict(zip(SHOWN, show("test-c1.scope", *SHOWN))) == SHOWN
    weight = read("cpu.weight")
    assert show("test-c1.scope", "CPUWeight") == [weight] and int(weight) > 100
    assert {name: read(name) for name in FILES} == FILES
    systemctl("daemon-reload")
    systemctl("set-property", "--runtime", "test-c1.scope", "CPUWeight=123")
    assert {name: read(name) for name in FILES} == FILES and read("cpu.weight") == "123"
    ocirt.ok("delete", "--force", "c1")


@pytest.mark.parametrize(
    "resources, file, value",
    [
        ({"memory": {"limit": -1}}, "memory.max", "max"),
        ({"memory": {"limit": 1 << 30, "swap": -1}}, "memory.swap.max", "max"),
        ({"pids": {"limit": -1}}, "pids.max", "max"),
        ({"cpu": {"quota": -1}}, "cpu.max", "max 100000"),
        ({"unified": {"pids.max": "max", "cpu.max": "10000 20000"}}, "cpu.max", "10000 20000"),
    ],
)
def test_no_limit(ocirt, scope, resources, file, value):
    scope.config["linux"]["resources"] = resources
    create(ocirt, scope.save())
    assert read(file) == value
    ocirt.ok("delete", "--force", "c1")


def test_devices(ocirt, scope):
    scope.config["linux"]["resources"] = {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        ]
    }
    scope.config["linux"]["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666},
        {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666},
    ]
    scope.shell("(: <>/dev/fuse) && echo open; (: <>/dev/kmsg) || echo refused; : </dev/null && echo open").save()
    assert ocirt.ok("run", "--bundle", scope, "c1", options=MANAGER).out.split() == ["open", "refused", "open"]


def test_annotations(ocirt, scope):
    scope.config["annotations"] = {
        "org.systemd.property.TimeoutStopUSec": "uint64 7000000",
        "org.systemd.property.RuntimeMaxSec": "500",
        "org.systemd.property.After": "['test-a.scope', \"test-b.scope\"]",
        "other": "x",
        "org.systemd.property.SendSIGHUP": "true",
        "org.systemd.property.Description": "'mine'",
    }
    create(ocirt, scope.save())
    found = show("test-c1.scope", "TimeoutStopUSec", "RuntimeMaxUSec", "SendSIGHUP", "Description", "After")
    assert found[:4] == ["7s", "8min 20s", "yes", "mine"] and {"test-a.scope", "test-b.scope"} <= set(found[4].split())
    ocirt.ok("delete", "--force", "c1")
    scope.config["annotations"] = {"org.systemd.property.NoSuchThing": "true"}
    assert re.search(r"start the systemd unit test-c1\.scope: .*NoSuchThing", refused(ocirt, scope.save()))
    scope.config["annotations"] = {"org.systemd.property.TimeoutStopUSec": "soon"}
    assert 'annotations["org.systemd.property.TimeoutStopUSec"]: found "soon", expected a value' in refused(
        ocirt, scope.save()
    )


# ---- what systemd says ----


@contextmanager
def taken(*properties, slice=SLICE):
    """Another's scope of the name that the container wants."""
    process = subprocess.Popen(
        ["systemd-run", "--quiet", "--scope", "--unit=test-c1.scope", f"--slice={slice}", *properties, "sleep", "300"]
    )
    try:
        end = time.monotonic() + LIMIT
        # On a slow machine a scope with a time limit may have failed before anybody looks.
        while show("test-c1.scope", "ActiveState") not in (["active"], ["failed"]):
            assert time.monotonic() < end
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait(LIMIT)


@pytest.mark.parametrize(
    "slice, place, reason",
    [
        (SLICE, f"/{SLICE}/test-c1.scope", "it was there before, and has processes in it"),
        (
            "ocirttest-a.slice",
            f"/{SLICE}/ocirttest-a.slice/test-c1.scope",
            "start the systemd unit test-c1.scope: Unit test-c1.scope was already loaded",
        ),
    ],
)
def test_a_name_that_is_taken(ocirt, faulty, scope, slice, place, reason):
    """Another's unit is neither joined nor stopped, also where the runtime is killed in between. The runtime finds its processes, or, in
    another slice, systemd knows its name."""
    with taken(slice=slice) as process:
        (folder(place) / "cgroup.freeze").write_text("1")
        line = refused(ocirt, scope)
        assert line.startswith("linux.cgroupsPath: ") and reason in line
        for step in range(1, 6):
            result = fault(
                faulty, "create", step, "kill", "--cgroup-manager=systemd", "create", "--bundle", scope, "c1"
            )
            ocirt.ok("delete", "--force", "c1")
            assert result.status in (1, -signal.SIGKILL)
        assert process.poll() is None and show("test-c1.scope", "ActiveState") == ["active"]
        assert "frozen 1" in read("cgroup.events", path=place)
        (folder(place) / "cgroup.freeze").write_text("0")


def test_init_fails_while_systemd_is_asked(ocirt, scope):
    """Init's own report is the error, not what systemd says of a process that has ended."""
    scope.config["mounts"].insert(
        0, {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["size=bogus"]}
    )
    scope.save()
    for _ in range(5):
        line = refused(ocirt, scope)
        assert line.startswith("mounts[0]: mount tmpfs at /mnt") and "invalid argument" in line, line
        assert not folder().exists()


def test_a_failed_unit_of_the_name(ocirt, scope):
    with taken("--property=RuntimeMaxSec=1") as process:
        process.wait(LIMIT)
        end = time.monotonic() + LIMIT
        while show("test-c1.scope", "ActiveState") != ["failed"]:
            assert time.monotonic() < end
            time.sleep(0.1)
    create(ocirt, scope)
    ocirt.ok("delete", "--force", "c1")


def test_a_name_that_systemd_does_not_take(ocirt, bundle):
    bundle.config["linux"]["cgroupsPath"] = f"{SLICE}:test:c+1"
    assert "start the systemd unit test-c+1.scope: " in refused(ocirt, bundle.save())


@pytest.fixture
def busy(tmp_path):
    """A systemd of the user's own that never says a word; gives its environment."""
    (tmp_path / "run/systemd").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "run/systemd/private"))
        listener.listen()
        yield {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def test_systemd_is_busy(ocirt, scope, busy):
    begin = time.monotonic()
    line = refused(ocirt, scope, options=(*MANAGER, "--rootless=true"), env=busy, timeout=120)
    assert 29 < time.monotonic() - begin < 60
    assert re.fullmatch(
        r"linux\.cgroupsPath: start the systemd unit test-c1\.scope: systemd has not answered at \S+ for 30 s", line
    )


def test_systemd_is_not_there(ocirt, scope, tmp_path):
    line = refused(
        ocirt, scope, options=(*MANAGER, "--rootless=true"), env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    )
    assert (
        line
        == f"linux.cgroupsPath: start the systemd unit test-c1.scope: connect to systemd's socket {tmp_path}/bus: no such file or directory"
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"REJECTED EXTERNAL\r\n",
        b"OK 1234\r\n" + bytes(range(256)) * 80,
        b"OK 1234\r\nl\2\1\1" + b"\xff" * 12,
        b"OK 1\r\nl" + bytes(400),
        b"",
    ],
)
def test_answers_that_make_no_sense(ocirt, scope, tmp_path, answer):
    (tmp_path / "run/systemd").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "run/systemd/private"))
        listener.listen()
        child = subprocess.Popen(
            ocirt.command("create", "--bundle", scope, "c1", options=(*MANAGER, "--rootless=true")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")},
        )
        listener.settimeout(LIMIT)
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(answer)
        connection.close()
        _, error = child.communicate(timeout=LIMIT)
    assert child.returncode == 1 and "start the systemd unit test-c1.scope" in error and ocirt.ids() == []


def test_over_the_message_bus(ocirt, scope, tmp_path):
    """Where systemd's own socket is not there."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/systemd"], check=True, timeout=LIMIT)
    try:
        Path("/run/systemd/system").mkdir()
        # Without -f: the child lives on.
        subprocess.run(
            [
                "strace",
                "-o",
                tmp_path / "calls",
                "-e",
                "trace=connect",
                *ocirt.command("create", "--bundle", scope, "c1", options=MANAGER),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT,
            check=True,
        )
        assert "/run/dbus/system_bus_socket" in (tmp_path / "calls").read_text()
        assert ocirt.status("c1") == "created" and read("cgroup.procs") == str(ocirt.state("c1")["pid"])
        ocirt.ok("delete", "--force", "c1")
    finally:
        subprocess.run(["umount", "/run/systemd"], check=True, timeout=LIMIT)
    assert units() == []


# ---- the cache, and runtimes that are killed ----


def test_no_interpreter_the_second_time(ocirt, scope, cache):  # noqa: F811
    """Names, slices and limits are slots."""
    scope.args("true")
    scope.config["linux"]["resources"] = {"memory": {"limit": 1 << 28, "swap": 1 << 29}, "pids": {"limit": 5}}
    scope.save()
    first = executed(ocirt, "--cgroup-manager=systemd", "run", "--bundle", scope, "c1")
    assert any("python" in name for name in first)
    scope.config["linux"]["resources"] = {"memory": {"limit": 1 << 27, "swap": 1 << 28}, "pids": {"limit": 50}}
    scope.config["linux"]["cgroupsPath"] = "ocirttest-a-b.slice:test-other:else"
    scope.save()
    assert executed(ocirt, "--cgroup-manager=systemd", "run", "--bundle", scope, "c2") == [
        str(ocirt.executable),
        "/bin/true",
    ]
    assert len(list(cache.iterdir())) == 1
    scope.args("sleep", "60").save()
    create(ocirt, scope, "c2")
    assert show("test-other-else.scope", "MemoryMax", "MemorySwapMax", "ControlGroup") == [
        str(1 << 27),
        str(1 << 27),
        f"/{SLICE}/ocirttest-a.slice/ocirttest-a-b.slice/test-other-else.scope",
    ]
    ocirt.ok("delete", "--force", "c2")


def test_killed_after_each_step(ocirt, faulty, scope, tmp_path):
    """Of create as far as systemd has to do with it, and of delete: `delete --force` clears it, and the name is free."""
    count = steps_of(faulty, tmp_path, "--cgroup-manager=systemd", "create", "--bundle", scope, "c1")
    deleting = steps_of(faulty, tmp_path, "delete", "--force", "c1")
    assert count > 20 and deleting >= 4
    for verb, steps in (("create", [*range(1, 13), count - 1]), ("delete", range(1, deleting + 1))):
        for step in steps:
            if verb == "delete":
                create(ocirt, scope)
                fault(faulty, verb, step, "kill", "delete", "--force", "c1")
            else:
                fault(faulty, verb, step, "kill", "--cgroup-manager=systemd", "create", "--bundle", scope, "c1")
            ocirt.ok("delete", "--force", "c1")
            assert ocirt.ids() == [] and not folder().exists(), (verb, step)
            create(ocirt, scope)
            ocirt.ok("delete", "--force", "c1")


def test_killed_at_any_moment(ocirt, scope):
    """Also between the call and systemd's answer, when it is not known whether there is a unit."""
    begin = time.monotonic()
    create(ocirt, scope)
    taken = time.monotonic() - begin
    ocirt.ok("delete", "--force", "c1")
    for turn in range(24):
        child = subprocess.Popen(
            ocirt.command("create", "--bundle", scope, "c1", options=MANAGER),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(taken * turn / 24)
        child.kill()
        child.wait(LIMIT)
        ocirt.ok("delete", "--force", "c1")
        assert ocirt.ids() == [] and not folder().exists(), turn
        create(ocirt, scope)
        ocirt.ok("delete", "--force", "c1")


# ---- a cgroup beneath the scope ----


@pytest.mark.parametrize("delegated", ["", "in"])
def test_subgroup(ocirt, scope, delegated):
    """Every verb acts on the cgroup beneath the scope, and all of it goes."""
    scope.config["annotations"] = {"run.oci.systemd.subgroup": "sub", "run.oci.delegate-cgroup": delegated}
    scope.config["linux"]["resources"] = {"memory": {"limit": 1 << 28}, "pids": {"limit": 50}}
    scope.args("sleep", "600").save()
    create(ocirt, scope)
    sub = f"/{SLICE}/test-c1.scope/sub"
    inner = f"{sub}/{delegated}".rstrip("/")
    pid = str(ocirt.state("c1")["pid"])
    assert Path(f"/proc/{pid}/cgroup").read_text() == f"0::{inner}\n" and read("cgroup.procs") == ""
    assert read("memory.max", path=sub) == str(1 << 28) and read("pids.max", path=sub) == "50"
    assert show("test-c1.scope", "MemoryMax", "ControlGroup") == [str(1 << 28), f"/{SLICE}/test-c1.scope"]
    ocirt.ok("start", "c1")
    assert ocirt.ok("exec", "c1", "cat", "/proc/self/cgroup").out == f"0::/{delegated}\n"
    ocirt.ok("pause", "c1")
    assert "frozen 1" in read("cgroup.events", path=sub) and ocirt.status("c1") == "paused"
    ocirt.ok("resume", "c1")
    ocirt.ok("update", "--memory", str(1 << 27), "c1")
    assert read("memory.max", path=sub) == str(1 << 27) and show("test-c1.scope", "MemoryMax") == [str(1 << 27)]
    assert json.loads(ocirt.ok("events", "--stats", "c1").out)["data"]["memory"]["usage"]["limit"] == 1 << 27
    assert pid in ocirt.ok("ps", "c1").out
    ocirt.ok("kill", "--all", "c1", "KILL")
    ocirt.ok("delete", "--force", "c1")
    assert not folder().exists()


def test_the_root_of_a_delegated_subgroup_is_free_for_controllers(ocirt, scope):
    """A container that may write its cgroups enables controllers at their root, which its processes, those of exec too, are beneath."""
    scope.config["annotations"] = {"run.oci.systemd.subgroup": "sub", "run.oci.delegate-cgroup": "in"}
    scope.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    scope.config["linux"]["namespaces"].append({"type": "time"})  # a stage waits for systemd, and init inherits
    for mount in scope.config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"].remove("ro")
    scope.args("sleep", "600").save()
    create(ocirt, scope)
    ocirt.ok("start", "c1")
    found = ocirt.ok(
        "exec",
        "c1",
        "sh",
        "-c",
        "cat /proc/1/cgroup /proc/self/cgroup; cd /sys/fs/cgroup && echo +pids > cgroup.subtree_control"
        " && cat cgroup.subtree_control && ls in/pids.max",
    ).out
    assert found.split() == ["0::/in", "0::/in", "pids", "in/pids.max"]
    ocirt.ok("delete", "--force", "c1")
    assert not folder().exists()


def test_subgroup_of_a_runtime_that_is_killed(ocirt, faulty, scope):
    scope.config["annotations"] = {"run.oci.systemd.subgroup": "sub", "run.oci.delegate-cgroup": "in"}
    scope.save()
    for step in range(1, 16):
        fault(faulty, "create", step, "kill", "--cgroup-manager=systemd", "create", "--bundle", scope, "c1")
        ocirt.ok("delete", "--force", "c1")
        assert ocirt.ids() == [] and not folder().exists(), step
