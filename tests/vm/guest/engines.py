"""In the guest of hack/vm --engines: what engines do with ocirt on a host that systemd runs, with cgroup v2. By root.

pytest runs this file there (tests/vm/test_engines.py). A podman command takes ten to thirty seconds, so there are few.
"""

import json
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.engines import images
from tests.engines.podman import SYSTEM_WIDE
from tests.vm.guest.smoke import CGROUPFS, CGROUPS, SYSTEMD, cgroup_of, config

OCIRT = "/usr/local/bin/ocirt"
LIMIT = 300
DEVICES = {"allowed": (10, 200), "denied": (10, 229)}
"""Devices that anybody may open and no engine allows by default: tun, which the container's rules allow, and fuse."""
LOOK = 'for d in allowed denied; do (: </$d) 2>/dev/null && echo "$d open" || echo "$d refused"; done'
ONE_OPEN = "allowed open\ndenied refused"


def run(*words, **more):
    return subprocess.run(
        [*map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, **more
    )


def ok(*words, **more):
    """Standard output of a command that must succeed."""
    done = run(*words, **more)
    assert done.returncode == 0, f"{words}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def until(what, seconds=120):
    """Wait until ``what()`` is true, and return that."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"still not, after {seconds} s"
        time.sleep(0.5)
    return found


def write(path, text):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def fill(rootfs):
    """Busybox, and the two devices."""
    for folder in ("bin", "proc", "dev", "sys", "tmp", "etc"):
        (rootfs / folder).mkdir(parents=True)
    shutil.copy("/bin/busybox", rootfs / "bin")
    for name in ("sh", "sleep", "cat", "echo"):
        (rootfs / "bin" / name).symlink_to("busybox")
    for name, number in DEVICES.items():
        os.mknod(rootfs / name, stat.S_IFCHR, os.makedev(*number))
        (rootfs / name).chmod(0o666)


@pytest.fixture(scope="session", autouse=True)
def prepared():
    ok("modprobe", "--all", "tun", "fuse")


@pytest.fixture
def bundle(tmp_path):
    """``bundle(cgroup, prepare=, **process)`` makes a bundle that sleeps and returns its folder. ``prepare`` is called with
    the configuration when the rootfs exists.
    """

    def make(cgroup, prepare=None, **process):
        made = config("engines", cgroup)
        made["process"] |= {"args": ["/bin/sleep", "1000"], **process}
        made["linux"]["resources"]["devices"] = [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rw"},
        ]
        fill(tmp_path / "bundle/rootfs")
        if prepare:
            prepare(made)
        write(tmp_path / "bundle/config.json", json.dumps(made))
        return tmp_path / "bundle"

    return make


@pytest.fixture
def started(bundle, tmp_path):
    """``started(*global options, cgroup=, prepare=, **process)`` starts a container c1 and returns a function that runs
    commands of ocirt.
    """
    commands = []

    def start(*options, cgroup, **more):
        def ocirt(verb, *words, **more):
            return ok(OCIRT, *options, "--root", tmp_path / "state", verb, *words, **more)

        commands.append(ocirt)
        # A file, because the container keeps the streams.
        with open(tmp_path / "said", "w") as said:
            subprocess.run(
                [
                    OCIRT,
                    *options,
                    "--root",
                    tmp_path / "state",
                    "run",
                    "--detach",
                    "--bundle",
                    bundle(cgroup, **more),
                    "c1",
                ],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=LIMIT,
            )
        assert json.loads(ocirt("state", "c1"))["status"] == "running", (tmp_path / "said").read_text()
        return ocirt

    yield start
    for ocirt in commands:
        ocirt("delete", "--force", "c1")


@pytest.fixture(scope="session")
def podman(tmp_path_factory):
    """``podman(*words)`` returns the standard output. The images are loaded, and ocirt is the runtime."""
    archives = tmp_path_factory.mktemp("archives")
    images.make(archives)
    write("/etc/containers/containers.conf.d/ocirt.conf", SYSTEM_WIDE)
    write("/etc/containers/containers.conf.d/images.conf", '[engine]\ninfra_image = "localhost/pause:latest"\n')
    for kind in "uid", "gid":
        write(f"/etc/sub{kind}", "containers:200000:500000\ntester:100000:65536\n")
    # libsubid finds the ranges of a user only if the user exists.
    ok("useradd", "--system", "--no-create-home", "containers")
    for name in "busybox", "pause":
        ok("podman", "load", "-q", "-i", archives / f"{name}.tar")

    def podman(*words):
        return ok("podman", *words)

    podman.archives = archives
    return podman


@pytest.fixture
def container(podman):
    """``container(*words)`` starts a container named c1 and returns its id; the test's end removes it."""
    yield lambda *words: podman("run", "--detach", "--name", "c1", "--network", "none", *words)
    run("podman", "rm", "--force", "--time", "0", "c1")


def of(name, field):
    """What podman says of a container."""
    return ok("podman", "container", "inspect", "--format", f"{{{{.{field}}}}}", name)


def reload(unit):
    """What makes systemd apply its own idea of a unit's cgroup."""
    ok("systemctl", "daemon-reload")
    if unit:
        ok("systemctl", "set-property", "--runtime", unit, "CPUWeight=50")
        assert ok("systemctl", "show", "--property=ActiveState", "--value", unit) == "active"


@pytest.mark.parametrize(
    "options, cgroup, unit",
    [((), CGROUPFS, None), (("--systemd-cgroup",), SYSTEMD, "smoke-c1.scope")],
    ids=["cgroupfs", "systemd"],
)
def test_daemon_reload(started, options, cgroup, unit):
    """The container stays, and so does what its rules say of devices."""
    ocirt = started(*options, cgroup=cgroup.format(top="", name="c1"))
    before = json.loads(ocirt("state", "c1"))
    own = cgroup_of(before["pid"])
    assert ocirt("exec", "c1", "/bin/sh", "-c", LOOK) == ONE_OPEN
    reload(unit)
    assert json.loads(ocirt("state", "c1")) == before and cgroup_of(before["pid"]) == own
    assert ocirt("exec", "c1", "/bin/sh", "-c", LOOK) == ONE_OPEN


@pytest.mark.parametrize("manager", ["cgroupfs", "systemd"])
def test_daemon_reload_with_podman(podman, manager):
    words = ("--cgroup-manager", manager)
    name = podman(
        *words, "run", "--detach", "--network", "none", "--cap-add", "MKNOD", "--device", "/dev/net/tun:/allowed",
        "busybox", "sh", "-c", "mknod -m 666 /denied c 10 229; exec sleep 1000",
    )  # fmt: skip
    try:
        until(lambda: run(OCIRT, "exec", name, "test", "-e", "/denied").returncode == 0)
        assert ok(OCIRT, "exec", name, "sh", "-c", LOOK) == ONE_OPEN
        reload(f"libpod-{name}.scope" if manager == "systemd" else None)
        assert podman("exec", name, "sh", "-c", LOOK) == ONE_OPEN
    finally:
        podman(*words, "rm", "--force", "--time", "0", name)


def test_systemd_in_a_container(podman, tmp_path):
    """The guest's own system, on an overlay, boots in a container and ends when it is told to."""
    layers = tmp_path / "layers"
    layers.mkdir()
    ok("mount", "-t", "tmpfs", "tmpfs", layers)
    try:
        for name in "upper", "work", "root":
            (layers / name).mkdir()
        ok(
            "mount", "-t", "overlay", "-o", f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work",
            "overlay", layers / "root",
        )  # fmt: skip
        root = layers / "root"
        (root / "etc/systemd/system/multi-user.target.wants/ocirt-vm.service").unlink()
        try:
            podman(
                "run", "--detach", "--name", "system", "--network", "none", "--systemd=always",
                "--rootfs", root, "/sbin/init",
            )  # fmt: skip
            name = of("system", "Id")
            state = until(
                lambda: (
                    (said := run(OCIRT, "exec", name, "systemctl", "is-system-running").stdout.strip())
                    in ("running", "degraded")
                    and said
                )
            )
            failed = run(OCIRT, "exec", name, "systemctl", "--failed", "--no-legend", "--plain").stdout
            assert state == "running", failed
            assert ok(OCIRT, "exec", name, "cat", "/proc/1/comm") == "systemd"
            podman("stop", "--time", "60", "system")
            # systemd's status at SIGRTMIN+3, which podman sends; one that was killed has 137.
            assert of("system", "State.ExitCode") in ("0", "130")
        finally:
            run("podman", "rm", "--force", "--time", "0", "system")
            run("umount", layers / "root")
    finally:
        run("umount", layers)


HEALTHY = """\
[Container]
Image=localhost/busybox:latest
ContainerName=healthy
Network=none
Exec=sh -c "sleep 5; touch /ready; exec sleep 1000"
HealthCmd=test -e /ready
HealthInterval=2s
HealthRetries=60
Notify=healthy
[Service]
TimeoutStartSec=240
"""
AUTO = """\
[Container]
Image=localhost/busybox:latest
ContainerName=auto
Network=none
UserNS=auto
Exec=sh -c "cat /proc/self/uid_map /proc/self/attr/current; ulimit -Hn; exec sleep 1000"
[Service]
LimitNOFILE=%d
TimeoutStartSec=240
"""
OPEN_FILES = 524288
"""The hard limit of the quadlet's service, as systemd gives it to services by default."""


def test_quadlets(podman):
    """Notify=healthy: the service has started once the container's check has passed. UserNS=auto: podman hides securityfs
    from the runtime, which applies the profile all the same; and podman asks for a hard limit that is above that of the
    service, which only the runtime can raise, for init and for what is executed.
    """
    for name, text in (("healthy", HEALTHY), ("auto", AUTO % OPEN_FILES)):
        write(f"/etc/containers/systemd/{name}.container", text)
    ok("systemctl", "daemon-reload")
    try:
        started = run("systemctl", "start", "auto.service", "healthy.service")
        assert started.returncode == 0, (started.stderr, run("journalctl", "-n", "40", "--no-pager").stdout)
        assert of("healthy", "State.Health.Status") == "healthy"
        ids, profile, limit = podman("logs", "auto").splitlines()
        assert ids.split()[0] == "0" and int(ids.split()[1]) >= 200000, ids
        assert profile.startswith("containers-default-") and profile.endswith(" (enforce)"), profile
        asked = json.loads(Path(of("auto", "OCIConfigPath")).read_text())["process"]["rlimits"]
        (hard,) = [each["hard"] for each in asked if each["type"] == "RLIMIT_NOFILE"]
        assert int(limit) == hard > OPEN_FILES
        command = f"ulimit -n {OPEN_FILES} && exec {OCIRT} exec {of('auto', 'Id')} sh -c 'ulimit -Hn'"
        assert ok("sh", "-c", command) == str(hard)
    finally:
        run("systemctl", "stop", "auto.service", "healthy.service")
        for name in "healthy", "auto":
            Path(f"/etc/containers/systemd/{name}.container").unlink()
        ok("systemctl", "daemon-reload")


PROBED = """\
apiVersion: v1
kind: Pod
metadata:
  name: probed
spec:
  containers:
  - name: live
    image: localhost/busybox:latest
    command: ["sleep", "1000"]
    livenessProbe: &passes
      exec:
        command: ["sh", "-c", "test ! -e /ill"]
      periodSeconds: 2
      timeoutSeconds: 60
      failureThreshold: 1
  - name: ill
    image: localhost/busybox:latest
    command: ["sh", "-c", "sleep 5; touch /ill; exec sleep 1000"]
    livenessProbe: *passes
"""


def test_play_kube_with_probes(podman, tmp_path):
    """podman runs the probes by timers of systemd, and starts the container again whose probe fails."""
    (tmp_path / "pod.yaml").write_text(PROBED)
    podman("kube", "play", "--network", "none", tmp_path / "pod.yaml")
    try:
        first = of("probed-ill", "State.Pid")
        until(lambda: of("probed-live", "State.Health.Status") == "healthy")
        until(lambda: of("probed-ill", "State.Pid") not in (first, "0"), 240)
        assert of("probed-live", "State.Health.Status") == "healthy"
    finally:
        run("podman", "kube", "down", "--force", tmp_path / "pod.yaml")


COUNT = "i=0; while true; do i=$((i + 1)); echo $i >/tmp/count; sleep 0.2; done"


def test_checkpoint_with_podman(podman, container):
    """criu 4: the container goes on in another process from where it was. tests/integration/test_checkpoint.py does this
    without an engine.
    """
    name = container("busybox", "sh", "-c", COUNT)

    def count():
        return int(run(OCIRT, "exec", name, "cat", "/tmp/count").stdout or 0)

    until(lambda: count() > 2)
    podman("container", "checkpoint", "c1")
    assert of("c1", "State.Status") == "exited"
    podman("container", "restore", "c1")
    now = count()
    assert now > 2
    until(lambda: count() > now)


def test_docker_with_the_systemd_driver(podman):
    """dockerd hands ocirt the name of a scope; what it limits are that scope's properties."""
    write(
        "/etc/docker/daemon.json",
        json.dumps(
            {
                "runtimes": {"ocirt": {"path": OCIRT}},
                "default-runtime": "ocirt",
                "exec-opts": ["native.cgroupdriver=systemd"],
                "bridge": "none",
                "iptables": False,
                "ip6tables": False,
            }
        ),
    )
    try:
        ok("systemctl", "start", "docker.service")
        assert (
            ok("docker", "info", "--format", "{{.DefaultRuntime}} {{.CgroupDriver}} {{.CgroupVersion}}")
            == "ocirt systemd 2"
        )
        ok("docker", "load", "-q", "-i", podman.archives / "busybox.tar")
        name = ok(
            "docker", "run", "--detach", "--network", "none", "--memory", "64m", "--pids-limit", "50",
            "--device", "/dev/net/tun:/allowed", "localhost/busybox", "sh", "-c", "mknod -m 666 /denied c 10 229; exec sleep 1000",
        )  # fmt: skip
        pid = ok("docker", "inspect", "--format", "{{.State.Pid}}", name)
        scope = f"docker-{name}.scope"
        assert cgroup_of(pid) == f"/system.slice/{scope}"
        assert ok("systemctl", "show", "--property=MemoryMax,TasksMax", scope).splitlines() == [
            f"MemoryMax={64 << 20}",
            "TasksMax=50",
        ]
        reload(scope)
        assert ok("docker", "exec", name, "sh", "-c", LOOK) == ONE_OPEN
        assert ok("docker", "exec", name, "cat", "/proc/self/attr/current") == "docker-default (enforce)"
        ok("docker", "update", "--memory", "96m", "--memory-swap", "96m", name)
        assert ok("systemctl", "show", "--property=MemoryMax", "--value", scope) == str(96 << 20)
        ok("docker", "rm", "--force", name)
        assert not (CGROUPS / "system.slice" / scope).exists()
    finally:
        run("systemctl", "stop", "docker.service", "docker.socket", "containerd.service")


PROFILES = """\
profile ocirt-test flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, mount, umount, pivot_root, signal, ptrace, unix,
  deny /secret rw,
}
profile ocirt-other flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, mount, umount, pivot_root, signal, ptrace, unix,
  deny /open r,
}
"""


@pytest.fixture(scope="session")
def profiles(tmp_path_factory):
    """The kernel has the two profiles loaded, and enforces them."""
    assert "apparmor" in Path("/sys/kernel/security/lsm").read_text().split(",")
    path = tmp_path_factory.mktemp("profiles") / "profiles"
    path.write_text(PROFILES)
    ok("apparmor_parser", "--replace", "--skip-cache", path)


def confined(pid):
    return Path(f"/proc/{pid}/attr/apparmor/current").read_text().strip()


def test_apparmor(started, profiles, tmp_path):
    """Init and what is executed in the container get the profile, and the kernel denies what it forbids."""
    ocirt = started(cgroup="/ocirt-test/apparmor", apparmorProfile="ocirt-test", noNewPrivileges=True)
    assert confined(json.loads(ocirt("state", "c1"))["pid"]) == "ocirt-test (enforce)"
    for name in "secret", "open":
        write(tmp_path / "bundle/rootfs" / name, "text")
    assert ocirt("exec", "c1", "/bin/cat", "/proc/self/attr/current") == "ocirt-test (enforce)"
    assert ocirt("exec", "c1", "/bin/cat", "/open") == "text"
    command = (OCIRT, "--root", tmp_path / "state", "exec")
    assert "/secret': Permission denied" in run(*command, "c1", "/bin/cat", "/secret").stderr
    # Busybox goes on after a file that it cannot open.
    other = run(*command, "--apparmor", "ocirt-other", "c1", "/bin/cat", "/proc/self/attr/current", "/open", "/secret")
    assert other.stdout == "ocirt-other (enforce)\ntext" and "/open': Permission denied" in other.stderr, other


def test_apparmor_profile_that_is_not_loaded(bundle, tmp_path):
    done = run(
        OCIRT, "--root", tmp_path / "state", "run", "--bundle", bundle("/ocirt-test/missing", apparmorProfile="missing"), "c1"
    )  # fmt: skip
    assert done.returncode == 1 and "process.apparmorProfile" in done.stderr and "missing" in done.stderr, done
    assert not (tmp_path / "state/c1").exists()


def test_apparmor_with_podman(podman, profiles):
    """podman loads a profile of its own, and hands on the one that is asked for."""
    words = ("run", "--rm", "--network", "none")
    look = ("busybox", "cat", "/proc/self/attr/current")
    assert podman(*words, *look).startswith("containers-default-")
    assert podman(*words, "--security-opt", "apparmor=ocirt-test", *look) == "ocirt-test (enforce)"
