"""podman with ocirt as its runtime."""

import json
import re

import pytest

from tests.engines.cell import until
from tests.engines.expected import OURS
from tests.engines.podman import Podman, wait_log

SLEEP = ("busybox", "sleep", "300")
KUBE = """\
apiVersion: v1
kind: Pod
metadata:
  name: kube
spec:
  containers:
  - name: server
    image: localhost/busybox:latest
    command: ["sh", "-c", "echo kube > /data/index.html; exec httpd -f -p 80 -h /data"]
    volumeMounts: [{name: data, mountPath: /data}]
    resources: {limits: {memory: 64Mi}}
  - name: client
    image: localhost/busybox:latest
    command: ["sh", "-c", "until wget -qO- http://127.0.0.1/index.html; do sleep 0.1; done; exec sleep 300"]
  volumes: [{name: data, emptyDir: {}}]
"""


@pytest.fixture(scope="module")
def engine(cell, archives, runtime):
    return Podman(cell, archives, runtime)


@pytest.fixture
def podman(engine, nothing_left):
    before = engine.cell.left()
    yield engine
    engine.clean()
    nothing_left(engine.cell, before)


@OURS
def test_it_is_ocirt_that_runs(podman):
    podman.ok("run", "--detach", "--name", "c1", *SLEEP)
    assert podman.inspect("c1")["OCIRuntime"] == "ocirt"
    state = podman.cell.ok("ocirt", "state", podman.inspect("c1")["Id"])
    assert json.loads(state)["pid"] == podman.pid("c1")


def test_run(podman):
    result = podman(
        "run",
        "--rm",
        "--env",
        "A=b c",
        "--workdir",
        "/tmp",
        "--hostname",
        "here",
        "busybox",
        "sh",
        "-c",
        "echo $A $PWD $(hostname); echo err >&2; exit 7",
    )
    assert (result.status, result.out, result.err) == (7, "b c /tmp here\n", "err\n")
    assert podman("run", "--rm", "--interactive", "busybox", "cat", input="typed\n").out == "typed\n"


def test_run_with_a_terminal(podman):
    result = podman.cell.terminal(
        "podman", "run", "--rm", "-it", "busybox", "sh", "-c", "tty; read line; echo got $line; exit 3", typed="hello\n"
    )
    assert result.status == 3 and "/dev/pts/0" in result.out and "got hello" in result.out, result


def test_detached_logs_inspect_wait(podman):
    podman.ok("run", "--detach", "--name", "c1", "busybox", "sh", "-c", "echo out; echo err >&2; sleep 0.2; exit 5")
    assert podman.ok("wait", "c1") == "5"
    result = podman("logs", "c1")
    assert (result.out, result.err) == ("out\n", "err\n")
    state = podman.inspect("c1")["State"]
    assert (state["Status"], state["ExitCode"], state["Running"]) == ("exited", 5, False)


def test_stop_start_restart_kill(podman):
    script = "trap 'echo term; exit 9' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done"
    podman.ok("run", "--detach", "--name", "c1", "busybox", "sh", "-c", script)
    wait_log(podman, "c1", "ready")
    podman.ok("kill", "--signal", "USR1", "c1")
    wait_log(podman, "c1", "usr1")
    podman.ok("stop", "c1")
    assert podman.inspect("c1")["State"]["ExitCode"] == 9
    podman.ok("start", "c1")
    first = podman.pid("c1")
    podman.ok("restart", "--time", "5", "c1")
    assert podman.pid("c1") not in (0, first)
    podman.ok("kill", "c1")
    assert podman.ok("wait", "c1") == "137"
    podman.ok("rm", "c1")


def test_limits(podman):
    podman.ok(
        "run",
        "--detach",
        "--name",
        "c1",
        "--memory",
        "100m",
        "--memory-reservation",
        "50m",
        "--cpu-shares",
        "300",
        "--cpus",
        "0.5",
        "--cpuset-cpus",
        "0",
        "--pids-limit",
        "50",
        *SLEEP,
    )
    found = [
        podman.cgroup("c1", *each)
        for each in (
            ("memory", "memory.limit_in_bytes"),
            ("memory", "memory.soft_limit_in_bytes"),
            ("cpu", "cpu.shares"),
            ("cpu", "cpu.cfs_quota_us"),
            ("cpuset", "cpuset.cpus"),
            ("pids", "pids.max"),
        )
    ]
    assert found == ["104857600", "52428800", "300", "50000", "0", "50"]


def test_more_memory_than_allowed(podman):
    podman(
        "run", "--name", "c1", "--memory", "20m", "busybox", "sh", "-c", "tail -c 100m /dev/zero | tail; echo survived"
    )
    assert "survived" in podman("logs", "c1").out
    result = podman("run", "--name", "c2", "--memory", "20m", "busybox", "tail", "/dev/zero")
    assert result.status == 137 and podman.inspect("c2")["State"]["ExitCode"] == 137


def test_volumes(podman):
    cell = podman.cell
    cell.ok("sh", "-c", "mkdir -p /run/shared /run/slave /run/dir; echo from-host > /run/dir/file")
    podman.ok("run", "--rm", "--volume", "data:/data", "busybox", "sh", "-c", "echo kept > /data/file")
    assert podman.ok("run", "--rm", "--volume", "data:/data", "busybox", "cat", "/data/file") == "kept"
    result = podman(
        "run",
        "--rm",
        "--volume",
        "/run/dir:/mnt:ro",
        "--tmpfs",
        "/scratch:size=1m",
        "busybox",
        "sh",
        "-c",
        "cat /mnt/file; touch /mnt/x || touch /scratch/x; grep -c '/scratch tmpfs.*size=1024k' /proc/mounts",
    )
    assert result.out == "from-host\n1\n" and "Read-only" in result.err, result
    podman.ok(
        "run",
        "--detach",
        "--name",
        "c1",
        "--volume",
        "/run/slave:/slave:rslave",
        "--volume",
        "/run/shared:/shared:rshared",
        "--cap-add",
        "SYS_ADMIN",
        "busybox",
        "sh",
        "-c",
        "mkdir -p /shared/in; mount -t tmpfs in /shared/in && echo mounted; while ! [ -e /slave/out/yes ]; do sleep 0.1; done; echo seen; sleep 300",
    )
    wait_log(podman, "c1", "mounted")
    assert "/run/shared/in" in cell.mounts()
    cell.ok("sh", "-c", "mkdir /run/slave/out; mount -t tmpfs out /run/slave/out; touch /run/slave/out/yes")
    wait_log(podman, "c1", "seen")
    cell.ok("umount", "/run/slave/out")
    cell.ok("umount", "/run/shared/in")


SYSTEMD = "grep -o -E ' (/run|/run/lock|/tmp|/var/log/journal) tmpfs [^ ]+' /proc/mounts | sort"
"""Prints the mounts that podman makes for a systemd in the container."""


@pytest.mark.parametrize("how", ["--systemd=always", "/sbin/init", "/usr/lib/systemd/systemd"])
def test_systemd_mode(podman, how):
    """podman gives the container what systemd expects: file systems in memory, with an empty option among theirs."""
    if how.startswith("-"):
        words = (how, "busybox", "sh", "-c", SYSTEMD)
    else:
        podman.cell.write("/run/init", f"#!/bin/sh\n{SYSTEMD}\n", 0o755)
        words = ("--volume", f"/run/init:{how}:ro", "busybox", how)
    found = {line.split()[0]: line.split()[2].split(",") for line in podman.ok("run", "--rm", *words).splitlines()}
    assert set(found) == {"/run", "/run/lock", "/tmp", "/var/log/journal"}
    assert all({"rw", "nosuid", "nodev"} <= set(options) for options in found.values()), found


def test_an_image_as_a_volume(podman):
    """podman mounts the image's layers by an overlay, whose options have their paths: here far more than 255 bytes."""
    podman.cell.write("/run/context/Dockerfile", "FROM localhost/busybox\n" + "RUN date >> /data/layers\n" * 4)
    podman.ok("build", "--layers", "--tag", "layers", "/run/context")
    script = "wc -l < /image/data/layers; touch /image/x && echo written"
    for more, out in (("", ["4"]), (",rw=true", ["4", "written"])):
        mount = f"type=image,source=localhost/layers,destination=/image{more}"
        assert podman("run", "--rm", "--mount", mount, "busybox", "sh", "-c", script).out.split() == out
    podman.ok("rmi", "--force", "layers")


def test_a_descriptor_with_gaps_before_it(podman):
    script = "exec 3<&- 4<&- 5<<end; exec podman run --rm --preserve-fd 5 busybox sh -c 'cat <&5; ls /proc/self/fd'"
    result = podman.cell("sh", "-c", f"{script}\ngiven\nend\n")
    assert result.status == 0 and result.out.split()[:4] == ["given", "0", "1", "2"], result
    assert "5" in result.out.split() and "4" not in result.out.split(), result


def test_security(podman):
    result = podman(
        "run", "--rm", "--read-only", "busybox", "sh", "-c", "touch /file || echo refused; touch /tmp/file && echo fine"
    )
    assert result.out == "refused\nfine\n", result
    script = "grep CapEff /proc/self/status; chown guest /tmp || echo refused"
    result = podman("run", "--rm", "--cap-drop", "CHOWN", "busybox", "sh", "-c", script)
    assert "refused" in result.out and int(result.out.split()[1], 16) & 1 == 0, result
    assert (
        podman.ok("run", "--rm", "--cap-drop", "all", "busybox", "sh", "-c", "grep CapBnd /proc/self/status").split()[1]
        == "0" * 16
    )
    podman.cell.write(
        "/run/seccomp.json",
        json.dumps(
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
            }
        ),
    )
    result = podman("run", "--rm", "--security-opt", "seccomp=/run/seccomp.json", "busybox", "mkdir", "/tmp/x")
    assert result.status == 1 and "not supported" in result.err, result
    assert (
        podman.ok(
            "run", "--rm", "--security-opt", "no-new-privileges", "busybox", "grep", "NoNewPrivs", "/proc/self/status"
        ).split()[1]
        == "1"
    )
    # podman's own profile is loaded without a word
    assert podman.ok("run", "--rm", "busybox", "grep", "Seccomp:", "/proc/self/status").split()[1] == "2"


def test_users(podman):
    assert (
        podman.ok("run", "--rm", "--user", "guest", "busybox", "id")
        == "uid=1000(guest) gid=1000(guest) groups=1000(guest),1001(extra)"
    )
    assert podman.ok("run", "--rm", "--user", "5:6", "--group-add", "7", "busybox", "id", "-G") == "6 7"
    found = podman.ok("run", "--rm", "--userns", "auto", "busybox", "sh", "-c", "cat /proc/self/uid_map; id -u").split()
    assert found[0] == found[3] == "0" and int(found[1]) >= 200000 and int(found[2]) >= 1024
    assert podman.ok("run", "--rm", "--uidmap", "0:300000:1000", "busybox", "cat", "/proc/self/uid_map").split() == [
        "0",
        "300000",
        "1000",
    ]


def test_init_and_namespaces(podman):
    assert podman.ok("run", "--rm", "--init", "busybox", "cat", "/proc/1/cmdline").startswith("/run/podman-init")
    assert podman.ok("run", "--rm", "--pid", "host", "busybox", "cat", "/proc/1/cmdline").startswith("catatonit")
    inner = podman.ok(
        "run",
        "--rm",
        "--network",
        "host",
        "--uts",
        "host",
        "--ipc",
        "host",
        "busybox",
        "sh",
        "-c",
        "readlink /proc/self/ns/net",
    )
    assert inner == podman.cell.ok("readlink", "/proc/1/ns/net")
    podman.ok("run", "--detach", "--name", "c1", *SLEEP)
    assert "sleep" in podman.ok("run", "--rm", "--pid", "container:c1", "busybox", "cat", "/proc/1/cmdline")
    assert podman.ok("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net") == "lo"


def test_more_options(podman):
    result = podman(
        "run",
        "--rm",
        "--sysctl",
        "kernel.shm_rmid_forced=1",
        "--ulimit",
        "nofile=100:200",
        "--ulimit",
        "nproc=1000:2000",
        "--shm-size",
        "1m",
        "--device",
        "/dev/full",
        "--oom-score-adj",
        "100",
        "--mac-address",
        "02:00:00:00:00:07",
        "busybox",
        "sh",
        "-c",
        "cat /proc/sys/kernel/shm_rmid_forced; ulimit -n; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; ls -l /dev/full | cut -c1;"
        "cat /proc/self/oom_score_adj; cat /sys/class/net/eth0/address",
    )
    assert result.out.split() == ["1", "100", "1024", "c", "100", "02:00:00:00:00:07"], result
    assert (
        podman.ok("run", "--rm", "--cgroups", "disabled", "busybox", "cat", "/proc/self/cgroup")
        .splitlines()[0]
        .endswith(":/")
    )


def test_cgroup_namespace_and_parent(podman):
    podman.ok("run", "--detach", "--name", "c1", "--cgroup-parent", "/mine", *SLEEP)
    assert podman.cell.cgroup_of(podman.pid("c1"), "pids").parts[-2] == "mine"
    assert podman.ok(
        "run", "--rm", "--cgroupns", "private", "busybox", "sh", "-c", "grep :pids: /proc/self/cgroup"
    ).endswith(":/")
    podman.ok("rm", "--force", "--time", "0", "c1")
    # podman's own cgroup, in which conmon ends last.
    remove = "rmdir /sys/fs/cgroup/*/mine/conmon; rmdir /sys/fs/cgroup/*/mine; ! ls -d /sys/fs/cgroup/*/mine"
    until(lambda: podman.cell("sh", "-c", remove).status == 0, "conmon's end")


@pytest.mark.parametrize(
    "words, status, text",
    [
        (("/no/such",), 127, "no such file or directory"),
        (("nosuch",), 127, "executable file not found in $PATH"),
        (("/etc/passwd",), 126, "permission denied"),
        (("/etc",), 126, "permission denied"),
    ],
)
def test_commands_that_cannot_be_run(podman, words, status, text):
    result = podman("run", "--rm", "busybox", *words)
    assert result.status == status and text.lower() in result.err.lower(), result


def test_an_error_of_the_runtime(podman):
    result = podman("run", "--rm", "--sysctl", "net.ipv4.ip_forward=no", "busybox", "true")
    assert result.status == 126 and "net.ipv4.ip_forward" in result.err and "OCI runtime error" in result.err, result


def test_pod(podman):
    podman.ok("pod", "create", "--name", "p1", "--publish", "127.0.0.1:8080:80")
    podman.ok("run", "--detach", "--pod", "p1", "--name", "server", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    assert "root:x:0" in podman.ok("run", "--rm", "--pod", "p1", "busybox", "wget", "-qO-", "http://127.0.0.1/passwd")
    assert "root:x:0" in podman.cell.ok("busybox", "wget", "-qO-", "http://127.0.0.1:8080/passwd")
    assert podman.ok("pod", "inspect", "p1", "--format", "{{.State}} {{.NumContainers}}") == "Running 2"
    podman.ok("pod", "stop", "--time", "0", "p1")
    podman.ok("pod", "start", "p1")
    podman.ok("pod", "rm", "--force", "--time", "0", "p1")


def test_play_kube(podman):
    podman.cell.write("/run/kube.yaml", KUBE)
    podman.ok("play", "kube", "/run/kube.yaml")
    wait_log(podman, "kube-client", "kube")
    assert podman.cgroup("kube-server", "memory", "memory.limit_in_bytes") == str(64 << 20)
    podman.ok("play", "kube", "--down", "/run/kube.yaml")


def test_two_containers_on_a_network(podman):
    podman.ok("network", "create", "n1")
    podman.ok(
        "run",
        "--detach",
        "--network",
        "n1",
        "--name",
        "server",
        "--publish",
        "127.0.0.1:8081:80",
        "busybox",
        "httpd",
        "-f",
        "-p",
        "80",
        "-h",
        "/etc",
    )
    assert "root:x:0" in podman.ok("run", "--rm", "--network", "n1", "busybox", "wget", "-qO-", "http://server/passwd")
    assert "root:x:0" in podman.cell.ok("busybox", "wget", "-qO-", "http://127.0.0.1:8081/passwd")


def test_copy_diff_commit_export(podman):
    podman.ok("run", "--name", "c1", "busybox", "sh", "-c", "echo new > /root/new; rm /etc/group")
    assert set(podman.ok("diff", "c1").splitlines()) >= {"A /root/new", "D /etc/group"}
    podman.ok("cp", "c1:/root/new", "/run/new")
    assert podman.cell.path("/run/new").read_text() == "new\n"
    podman.ok("commit", "--quiet", "c1", "v2")
    assert podman.ok("run", "--rm", "v2", "cat", "/root/new") == "new"
    podman.ok("rmi", "--force", "v2")


@OURS
def test_one_container_alone(podman):
    """podman --runtime: the other way to choose, without any configuration."""
    podman.ok("--runtime", "/usr/sbin/runc", "run", "--detach", "--name", "other", *SLEEP)
    assert podman.inspect("other")["OCIRuntime"] == "/usr/sbin/runc"
    podman.ok("--runtime", "/usr/local/bin/ocirt", "run", "--detach", "--name", "c1", *SLEEP)
    assert podman.inspect("c1")["OCIRuntime"] == "/usr/local/bin/ocirt"
    podman.ok("stop", "--time", "0", "other", "c1")


def test_debug_and_the_runtimes_log(podman):
    result = podman("--runtime-flag", "debug", "run", "--rm", "busybox", "echo", "hi")
    assert (result.status, result.out) == (0, "hi\n"), result


def test_top(podman):
    podman.ok("run", "--detach", "--name", "c1", *SLEEP)
    assert "sleep 300" in podman.ok("top", "c1", "args")


def test_stats(podman):
    podman.ok("run", "--detach", "--name", "c1", "--memory", "100m", *SLEEP)
    found = json.loads(podman.ok("stats", "--no-stream", "--format", "json", "c1"))[0]
    assert found["name"] == "c1" and found["pids"] == "1" and "104.9MB" in found["mem_usage"], found


def test_checkpoint(podman):
    """With a criu that works here the container goes on where it was; otherwise podman is refused in one line."""
    podman.ok(
        "run",
        "--detach",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "seq 1 1000 | while read n; do echo $n; sleep 0.1; done",
    )
    wait_log(podman, "c1", "2")
    result = podman("container", "checkpoint", "c1")
    if podman.cell("criu", "check").status != 0:
        assert result.status == 125 and re.search("checkpoint", result.err, re.IGNORECASE), result
        return
    assert result.status == 0 and not podman.inspect("c1")["State"]["Running"], result
    before = podman.ok("logs", "c1").splitlines()
    podman.ok("container", "restore", "c1")
    until(lambda: len(podman.ok("logs", "c1").splitlines()) > len(before) + 1, "more lines of the container")
    lines = podman.ok("logs", "c1").splitlines()
    assert lines == [str(n + 1) for n in range(len(lines))]


def test_exec(podman):
    podman.ok("run", "--detach", "--name", "c1", "--env", "A=b", *SLEEP)
    result = podman(
        "exec",
        "--env",
        "C=d",
        "--user",
        "guest",
        "--workdir",
        "/tmp",
        "c1",
        "sh",
        "-c",
        "echo $A $C $PWD $(id -un); echo err >&2; exit 4",
    )
    assert (result.status, result.out, result.err) == (4, "b d /tmp guest\n", "err\n")
    assert podman("exec", "-i", "c1", "cat", input="typed\n").out == "typed\n"
    podman.ok("exec", "--detach", "c1", "touch", "/tmp/detached")
    assert podman("exec", "c1", "nosuch").status == 127
    assert podman("exec", "c1", "/etc/passwd").status == 126


def test_exec_with_a_terminal(podman):
    podman.ok("run", "--detach", "--name", "c1", *SLEEP)
    result = podman.cell.terminal(
        "podman", "exec", "-it", "c1", "sh", "-c", "tty; read line; echo got $line; exit 3", typed="hello\n"
    )
    assert result.status == 3 and "/dev/pts/" in result.out and "got hello" in result.out, result


def test_health_check(podman):
    podman.ok(
        "run", "--detach", "--name", "c1", "--health-cmd", "test -e /tmp/well", "--health-interval", "disable", *SLEEP
    )
    assert podman("healthcheck", "run", "c1").status == 1
    podman.ok("exec", "c1", "touch", "/tmp/well")
    assert podman("healthcheck", "run", "c1").status == 0


def test_pause(podman):
    podman.ok("run", "--detach", "--name", "c1", *SLEEP)
    podman.ok("pause", "c1")
    assert (
        podman.cgroup("c1", "freezer", "freezer.state") == "FROZEN"
        and podman.inspect("c1")["State"]["Status"] == "paused"
    )
    podman.ok("unpause", "c1")
    assert (
        podman.cgroup("c1", "freezer", "freezer.state") == "THAWED"
        and podman.inspect("c1")["State"]["Status"] == "running"
    )


def test_update(podman):
    podman.ok("run", "--detach", "--name", "c1", "--memory", "100m", *SLEEP)
    podman.ok("update", "--memory", "50m", "--cpu-shares", "200", "c1")
    assert (
        podman.cgroup("c1", "memory", "memory.limit_in_bytes") == str(50 << 20)
        and podman.cgroup("c1", "cpu", "cpu.shares") == "200"
    )
