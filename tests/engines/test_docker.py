"""Docker with ocirt as an added runtime and as the default."""

import json

import pytest

from tests.engines.cell import until
from tests.engines.docker import Docker
from tests.engines.expected import OURS
from tests.engines.podman import wait_log
from tests.engines.registry import Registry

SLEEP = ("busybox", "sleep", "300")
DOCKERFILE = """\
FROM busybox
RUN echo built > /data/page && chown guest /data/page
COPY page /data/copied
EXPOSE 80
USER guest
CMD ["cat", "/data/page", "/data/copied"]
"""


@pytest.fixture(scope="module")
def engine(cell, archives, runtime):
    docker = Docker(cell, archives, runtime)
    yield docker
    docker.stop()


@pytest.fixture
def docker(engine, nothing_left):
    before = engine.cell.left()
    yield engine
    engine.clean()
    nothing_left(engine.cell, before)


@OURS
def test_the_daemon_knows_it(docker):
    info = json.loads(docker.ok("info", "--format", "{{json .}}"))
    assert info["DefaultRuntime"] == "ocirt" and info["Runtimes"]["ocirt"]["path"] == "/usr/local/bin/ocirt"
    commit = docker.cell.ok("ocirt", "--version").splitlines()[1].split()[1]
    assert info["RuncCommit"]["ID"] == commit
    docker.ok("run", "--detach", "--name", "c1", *SLEEP)
    found = docker.inspect("c1")
    assert found["HostConfig"]["Runtime"] == "ocirt"
    state = docker.cell.ok("ocirt", "--root", "/run/docker/runtime-runc/moby", "state", found["Id"])
    assert json.loads(state)["pid"] == found["State"]["Pid"]


@OURS
def test_one_container_alone(docker):
    """docker run --runtime: the other way to choose."""
    docker.ok("run", "--runtime", "runc", "--detach", "--name", "other", *SLEEP)
    docker.ok("run", "--runtime", "ocirt", "--detach", "--name", "c1", *SLEEP)
    assert (docker.inspect("other")["HostConfig"]["Runtime"], docker.inspect("c1")["HostConfig"]["Runtime"]) == (
        "runc",
        "ocirt",
    )
    docker.ok("rm", "--force", "other", "c1")
    docker.cell.ok("sh", "-c", "rmdir /sys/fs/cgroup/*/docker")  # runc made it, and leaves it


def test_run(docker):
    result = docker(
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
    assert docker("run", "--rm", "--interactive", "busybox", "cat", input="typed\n").out == "typed\n"


def test_run_with_a_terminal(docker):
    result = docker.cell.terminal(
        *docker.words("run", "--rm", "-it", "busybox", "sh", "-c", "tty; read line; echo got $line; exit 3"),
        typed="hello\n",
    )
    assert result.status == 3 and "/dev/pts/0" in result.out and "got hello" in result.out, result


def test_logs_stop_start_restart_kill(docker):
    script = "trap 'echo term; exit 9' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done"
    docker.ok("run", "--detach", "--name", "c1", "busybox", "sh", "-c", script)
    wait_log(docker, "c1", "ready")
    docker.ok("kill", "--signal", "USR1", "c1")
    wait_log(docker, "c1", "usr1")
    docker.ok("stop", "c1")
    assert docker.inspect("c1")["State"]["ExitCode"] == 9
    docker.ok("start", "c1")
    first = docker.pid("c1")
    docker.ok("restart", "c1")
    assert docker.pid("c1") not in (0, first)
    docker.ok("kill", "c1")
    assert docker.ok("wait", "c1") == "137"


def test_limits(docker):
    docker.ok(
        "run",
        "--detach",
        "--name",
        "c1",
        "--memory",
        "500m",
        "--cpu-shares",
        "512",
        "--cpus",
        "0.5",
        "--cpuset-cpus",
        "0",
        "--pids-limit",
        "50",
        *SLEEP,
    )
    found = [
        docker.cgroup("c1", *each)
        for each in (
            ("memory", "memory.limit_in_bytes"),
            ("cpu", "cpu.shares"),
            ("cpu", "cpu.cfs_quota_us"),
            ("cpuset", "cpuset.cpus"),
            ("pids", "pids.max"),
        )
    ]
    assert found == [str(500 << 20), "512", "50000", "0", "50"]


def test_more_memory_than_allowed(docker):
    assert docker("run", "--name", "c1", "--memory", "20m", "busybox", "tail", "/dev/zero").status == 137
    assert docker.inspect("c1")["State"]["OOMKilled"] is True


def test_volumes(docker):
    docker.ok("volume", "create", "data")
    docker.ok("run", "--rm", "--volume", "data:/data", "busybox", "sh", "-c", "echo kept > /data/file")
    assert docker.ok("run", "--rm", "--volume", "data:/data", "busybox", "cat", "/data/file") == "kept"
    docker.cell.write("/run/dir/file", "from-host\n")
    result = docker(
        "run",
        "--rm",
        "--volume",
        "/run/dir:/mnt:ro",
        "--tmpfs",
        "/scratch:size=1m",
        "busybox",
        "sh",
        "-c",
        "cat /mnt/file; touch /mnt/x || touch /scratch/x && echo fine",
    )
    assert result.out == "from-host\nfine\n" and "Read-only" in result.err, result
    docker.cell.ok("mkdir", "-p", "/run/shared")
    docker.ok(
        "run",
        "--detach",
        "--name",
        "c1",
        "--volume",
        "/run/shared:/shared:rslave",
        "busybox",
        "sh",
        "-c",
        "while ! [ -e /shared/out/yes ]; do sleep 0.1; done; echo seen; sleep 300",
    )
    docker.cell.ok("sh", "-c", "mkdir /run/shared/out; mount -t tmpfs out /run/shared/out; touch /run/shared/out/yes")
    wait_log(docker, "c1", "seen")
    docker.cell.ok("umount", "/run/shared/out")


def test_security_and_users(docker):
    assert docker("run", "--rm", "--read-only", "busybox", "touch", "/file").status == 1
    assert docker("run", "--rm", "--cap-drop", "CHOWN", "busybox", "chown", "guest", "/tmp").status == 1
    docker.cell.write(
        "/run/home/seccomp.json",
        json.dumps(
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
            }
        ),
    )
    result = docker("run", "--rm", "--security-opt", "seccomp=/run/home/seccomp.json", "busybox", "mkdir", "/tmp/x")
    assert result.status == 1 and "not supported" in result.err, result
    script = "grep -e Seccomp: -e NoNewPrivs /proc/self/status | tr -d '\\n'"
    found = docker.ok("run", "--rm", "--security-opt", "no-new-privileges", "busybox", "sh", "-c", script).split()
    assert found == ["NoNewPrivs:", "1Seccomp:", "2"]
    assert docker.ok("run", "--rm", "--user", "guest", "--group-add", "7", "busybox", "id", "-G") == "1000 7 1001"
    assert docker.ok("run", "--rm", "--init", "busybox", "cat", "/proc/1/cmdline").startswith("/sbin/docker-init")
    assert docker("run", "--rm", "--cap-add", "SYS_ADMIN", "busybox", "mount", "-t", "tmpfs", "x", "/tmp").status == 0


def test_namespaces(docker):
    docker.ok("run", "--detach", "--name", "c1", "--ipc", "shareable", *SLEEP)
    assert "sleep" in docker.ok(
        "run",
        "--rm",
        "--pid",
        "container:c1",
        "--network",
        "container:c1",
        "--ipc",
        "container:c1",
        "busybox",
        "cat",
        "/proc/1/cmdline",
    )
    inner = docker.ok(
        "run",
        "--rm",
        "--network",
        "host",
        "--uts",
        "host",
        "--ipc",
        "host",
        "--pid",
        "host",
        "busybox",
        "readlink",
        "/proc/self/ns/net",
    )
    assert inner == docker.cell.ok("readlink", "/proc/1/ns/net")
    assert docker.ok(
        "run", "--rm", "--cgroupns", "private", "busybox", "sh", "-c", "grep :pids: /proc/self/cgroup"
    ).endswith(":/")


@pytest.mark.parametrize(
    "command, status, text",
    [
        ("/no/such", 127, "no such file or directory"),
        ("nosuch", 127, "executable file not found in $PATH"),
        ("/etc/passwd", 126, "permission denied"),
        ("/etc", 126, "permission denied"),
    ],
)
def test_commands_that_cannot_be_run(docker, command, status, text):
    result = docker("run", "--rm", "busybox", command)
    assert result.status == status and text in result.err, result


@pytest.mark.parametrize("volume", ["/etc/passwd:/tmp", "/etc:/etc/passwd"], ids=["on a directory", "on a file"])
def test_a_file_on_a_directory_or_the_reverse(docker, volume):
    """dockerd looks for "not a directory" in the runtime's error: it then tells a person what may be meant, and writes down 127."""
    result = docker("run", "--name", "c1", "--volume", volume, "busybox", "true")
    assert result.status != 0 and "not a directory" in result.err, result
    assert "mount a directory onto a file (or vice-versa)?" in result.err
    assert docker.inspect("c1")["State"]["ExitCode"] == 127


def test_two_containers_on_a_network(docker):
    docker.ok("network", "create", "n1")
    docker.ok(
        "run",
        "--detach",
        "--network",
        "n1",
        "--name",
        "server",
        "--publish",
        "127.0.0.1:8080:80",
        "busybox",
        "httpd",
        "-f",
        "-p",
        "80",
        "-h",
        "/etc",
    )
    assert "root:x:0" in docker.ok("run", "--rm", "--network", "n1", "busybox", "wget", "-qO-", "http://server/passwd")
    assert "root:x:0" in docker.cell.ok("busybox", "wget", "-qO-", "http://127.0.0.1:8080/passwd")


def test_build_with_a_cache(docker):
    """By the classic builder, which newer clients use only if they are told to."""
    build = ("build", "--tag", "built", "/run/context")
    classic = {"DOCKER_BUILDKIT": "0"}
    docker.cell.write("/run/context/Dockerfile", DOCKERFILE)
    docker.cell.write("/run/context/page", "copied\n")
    assert "Using cache" not in docker.ok(*build, env=classic)
    assert docker.ok(*build, env=classic).count("Using cache") == 5
    assert docker.ok("run", "--rm", "built") == "built\ncopied"
    layers = [json.loads(docker.ok("image", "inspect", name))[0]["RootFS"]["Layers"] for name in ("busybox", "built")]
    assert layers[1][:1] == layers[0] and len(layers[1]) == 3
    docker.ok("rmi", "built")


def test_build_with_buildkit(docker):
    """BuildKit asks nobody: it runs the `runc` that is first on dockerd's PATH."""
    docker.cell.write("/run/context/Dockerfile", DOCKERFILE)
    docker.cell.write("/run/context/page", "copied\n")
    docker.stop()
    docker.cell.ok("sh", "-c", "mkdir -p /run/bin && ln -sf /usr/local/bin/ocirt /run/bin/runc")
    docker.prefix = ("env", "PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    docker.start()
    try:
        result = docker("build", "--tag", "kit", "/run/context", env={"DOCKER_BUILDKIT": "1"})
        assert result.status == 0, result
        assert (
            "CACHED"
            in docker("build", "--tag", "kit", "--progress", "plain", "/run/context", env={"DOCKER_BUILDKIT": "1"}).err
        )
        assert docker.ok("run", "--rm", "kit") == "built\ncopied"
        docker.ok("rmi", "kit")
        docker("builder", "prune", "--all", "--force")
    finally:
        docker.stop()
        docker.prefix = ()
        docker.start()


def test_commit_push_pull(docker):
    docker.ok(
        "run", "--detach", "--name", "c1", "busybox", "sh", "-c", "echo v2 > /data/version; echo ready; sleep 300"
    )
    wait_log(docker, "c1", "ready")
    docker.ok("commit", "c1", "127.0.0.1:5000/app:v2")
    with Registry(docker.cell):
        docker.ok("push", "127.0.0.1:5000/app:v2")
        docker.ok("rmi", "127.0.0.1:5000/app:v2")
        docker.ok("pull", "127.0.0.1:5000/app:v2")
        assert docker.ok("run", "--rm", "127.0.0.1:5000/app:v2", "cat", "/data/version") == "v2"
        docker.ok("rmi", "127.0.0.1:5000/app:v2")


def test_the_daemon_ends_and_containers_go_on(docker):
    """live-restore."""
    docker.stop()
    docker.cell.write(
        "/etc/docker/daemon.json",
        json.dumps({**json.loads(docker.cell.path("/etc/docker/daemon.json").read_text()), "live-restore": True}),
    )
    docker.start()
    docker.ok("run", "--detach", "--name", "c1", *SLEEP)
    pid = docker.pid("c1")
    docker.stop()
    docker.start()
    assert docker.pid("c1") == pid and docker.inspect("c1")["State"]["Running"]
    docker.ok("stop", "--time", "0", "c1")


def test_restart_policy_and_copy(docker):
    docker.ok("run", "--detach", "--name", "c1", "--restart", "on-failure:2", "busybox", "false")
    until(
        lambda: docker.inspect("c1")["RestartCount"] == 2 and docker.inspect("c1")["State"]["Status"] == "exited",
        "two restarts",
    )
    docker.cell.write("/run/file", "copied\n")
    docker.ok("cp", "/run/file", "c1:/tmp/file")
    docker.ok("cp", "c1:/tmp/file", "/run/back")
    assert docker.cell.path("/run/back").read_text() == "copied\n"


def test_stats(docker):
    docker.ok("run", "--detach", "--name", "c1", "--memory", "500m", *SLEEP)
    found = json.loads(docker.ok("stats", "--no-stream", "--format", "{{json .}}", "c1"))
    assert found["PIDs"] == "1" and found["MemUsage"].endswith("/ 500MiB"), found


def test_top(docker):
    docker.ok("run", "--detach", "--name", "c1", *SLEEP)
    assert "sleep 300" in docker.ok("top", "c1")


def test_exec(docker):
    docker.ok("run", "--detach", "--name", "c1", "--env", "A=b", *SLEEP)
    result = docker(
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
    assert docker("exec", "-i", "c1", "cat", input="typed\n").out == "typed\n"
    docker.ok("exec", "--detach", "c1", "touch", "/tmp/detached")
    assert docker("exec", "c1", "nosuch").status in (126, 127)  # this Docker's client says 126 here, newer ones 127
    assert docker("exec", "c1", "/etc/passwd").status == 126
    result = docker.cell.terminal(
        *docker.words("exec", "-it", "c1", "sh", "-c", "tty; read line; echo got $line; exit 3"), typed="hello\n"
    )
    assert result.status == 3 and "/dev/pts/" in result.out and "got hello" in result.out, result


def test_health_check(docker):
    docker.ok("run", "--detach", "--name", "c1", "--health-cmd", "true", "--health-interval", "200ms", *SLEEP)
    until(lambda: docker.inspect("c1")["State"]["Health"]["Status"] == "healthy", "a healthy container", 5)


def test_pause(docker):
    docker.ok("run", "--detach", "--name", "c1", *SLEEP)
    docker.ok("pause", "c1")
    assert (
        docker.cgroup("c1", "freezer", "freezer.state") == "FROZEN"
        and docker.inspect("c1")["State"]["Status"] == "paused"
    )
    docker.ok("unpause", "c1")
    assert docker.cgroup("c1", "freezer", "freezer.state") == "THAWED"
    docker.ok("commit", "c1", "paused")  # pauses by itself
    docker.ok("rmi", "paused")


def test_update(docker):
    docker.ok("run", "--detach", "--name", "c1", "--memory", "100m", *SLEEP)
    docker.ok("update", "--memory", "50m", "--memory-swap", "60m", "--cpu-shares", "200", "--pids-limit", "70", "c1")
    assert docker.cgroup("c1", "memory", "memory.limit_in_bytes") == str(50 << 20)
    assert (docker.cgroup("c1", "cpu", "cpu.shares"), docker.cgroup("c1", "pids", "pids.max")) == ("200", "70")
