"""Kubernetes' door: containerd's CRI plugin with ocirt as a runtime handler, driven by crictl."""

import json

import pytest

from tests.engines.cell import until
from tests.engines.containerd import Containerd, container, sandbox
from tests.engines.expected import OURS
from tests.engines.installed import CRI_TOOLS


@pytest.fixture(scope="module")
def engine(cell, archives, runtime):
    containerd = Containerd(cell, archives, runtime, crictl=CRI_TOOLS / "crictl")
    # What the plugins make once and keep: the bridge and its addresses.
    pod = make_pod(containerd, sandbox("first"))
    containerd.cri_ok("stopp", pod)
    containerd.cri_ok("rmp", pod)
    yield containerd
    containerd.stop()


@pytest.fixture
def cri(engine, nothing_left):
    before = engine.cell.left()
    yield engine
    engine.clean()
    nothing_left(engine.cell, before)


def make_pod(cri, config, *flags):
    cri.cell.write(f"/run/{config['metadata']['name']}.json", json.dumps(config))
    return cri.cri_ok("runp", *flags, f"/run/{config['metadata']['name']}.json")


def make(cri, pod, pod_name, config):
    """Create a container, returning its id."""
    cri.cell.write(f"/run/{config['metadata']['name']}.json", json.dumps(config))
    return cri.cri_ok("create", pod, f"/run/{config['metadata']['name']}.json", f"/run/{pod_name}.json")


def log(cri, name):
    """What a container has said."""
    path = cri.cell.path(f"/run/pods/{name}.log")
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split(" ", 3)[3] for line in lines]


@pytest.fixture
def pod(cri):
    return make_pod(cri, sandbox("p1"))


def running(cri, pod, name, *command, **more):
    made = make(cri, pod, "p1", container(name, *command, **more))
    cri.cri_ok("start", made)
    return made


@OURS
def test_a_pod_of_two(cri, pod):
    server = running(cri, pod, "server", "httpd", "-f", "-p", "80", "-h", "/etc")
    client = running(
        cri, pod, "client", "sh", "-c", "until wget -qO- http://127.0.0.1/passwd; do sleep 0.1; done; sleep 300"
    )
    until(lambda: any("root:x:0" in line for line in log(cri, "client")), "the client's log")
    assert {each["id"] for each in json.loads(cri.cri_ok("ps", "--output", "json"))["containers"]} == {server, client}
    info = json.loads(cri.cri_ok("inspect", client))["info"]
    assert (
        info["runtimeType"] == "io.containerd.runc.v2"
        and info["runtimeOptions"]["binary_name"] == "/usr/local/bin/ocirt"
    )
    state = json.loads(cri.cell.ok("ocirt", "--root", "/run/containerd/runc/k8s.io", "state", client))
    assert state["pid"] == info["pid"]
    address = json.loads(cri.cri_ok("inspectp", pod))["status"]["network"]["ip"]
    assert "root:x:0" in cri.cell.ok("busybox", "wget", "-qO-", f"http://{address}/passwd")
    cri.cri_ok("stop", "--timeout", "0", server)
    assert json.loads(cri.cri_ok("inspect", server))["status"]["state"] == "CONTAINER_EXITED"
    cri.cri_ok("rm", server)
    cri.cri_ok("stopp", pod)
    cri.cri_ok("rmp", pod)


def test_two_pods_see_each_other(cri, pod):
    running(cri, pod, "server", "httpd", "-f", "-p", "80", "-h", "/etc")
    address = json.loads(cri.cri_ok("inspectp", pod))["status"]["network"]["ip"]
    other = make_pod(cri, sandbox("p2"))
    cri.cri_ok("start", make(cri, other, "p2", container("client", "wget", "-qO-", f"http://{address}/passwd")))
    until(lambda: any("root:x:0" in line for line in log(cri, "client")), "the client's log")


@OURS
def test_a_handler_by_its_name(cri):
    """What a RuntimeClass names."""
    pod = make_pod(cri, sandbox("p1"), "--runtime", "ocirt")
    found = json.loads(cri.cri_ok("inspectp", pod))
    assert {**found["info"], **found["status"]}["runtimeHandler"] == "ocirt"  # in the status since containerd 2
    other = make_pod(cri, sandbox("p2"), "--runtime", "runc")
    assert not cri.cell.path(f"/run/containerd/runc/k8s.io/{other}/program").exists()
    cri.clean()
    cri.cell("sh", "-c", "rmdir /sys/fs/cgroup/*/pods")  # runc, coming second, leaves it; coming first, ocirt does


def test_exit_codes_and_output(cri, pod):
    made = running(cri, pod, "c1", "sh", "-c", "echo out; echo err >&2; exit 7")
    until(lambda: json.loads(cri.cri_ok("inspect", made))["status"]["state"] == "CONTAINER_EXITED", "its end")
    assert json.loads(cri.cri_ok("inspect", made))["status"]["exitCode"] == 7
    assert sorted(log(cri, "c1")) == ["err", "out"] and cri.cri("logs", made).err == "err\n"


def test_limits(cri, pod):
    resources = {
        "memory_limit_in_bytes": 100 << 20,
        "cpu_shares": 512,
        "cpu_quota": 50000,
        "cpu_period": 100000,
        "cpuset_cpus": "0",
    }
    made = running(cri, pod, "c1", "sleep", "300", linux={"resources": resources})
    found = [
        cri.cri_cgroup(made, *each)
        for each in (
            ("memory", "memory.limit_in_bytes"),
            ("cpu", "cpu.shares"),
            ("cpu", "cpu.cfs_quota_us"),
            ("cpuset", "cpuset.cpus"),
        )
    ]
    assert found == [str(100 << 20), "512", "50000", "0"]


def test_more_memory_than_allowed(cri, pod):
    made = running(cri, pod, "c1", "tail", "/dev/zero", linux={"resources": {"memory_limit_in_bytes": 20 << 20}})
    status = until(
        lambda: (found := json.loads(cri.cri_ok("inspect", made))["status"])["state"] == "CONTAINER_EXITED" and found,
        "its end",
    )
    assert (status["exitCode"], status["reason"]) == (137, "OOMKilled")


def test_security(cri, pod):
    context = {
        "run_as_user": {"value": 1000},
        "readonly_rootfs": True,
        "no_new_privs": True,
        "capabilities": {"drop_capabilities": ["ALL"]},
        "seccomp": {"profile_type": 0},
        "supplemental_groups": [7],
    }
    made = running(
        cri,
        pod,
        "c1",
        "sh",
        "-c",
        "id -u; id -G; touch /x; grep -e NoNewPrivs -e CapEff -e Seccomp: /proc/self/status",
        linux={"security_context": context},
    )
    until(lambda: json.loads(cri.cri_ok("inspect", made))["status"]["state"] == "CONTAINER_EXITED", "its end")
    said = "\n".join(log(cri, "c1"))
    assert (
        "1000" in said
        and "Read-only" in said
        and "NoNewPrivs:\t1" in said
        and "CapEff:\t0000000000000000" in said
        and "Seccomp:\t2" in said
    ), said


def test_mounts(cri, pod):
    cri.cell.write("/run/dir/file", "from-host\n")
    mounts = [
        {"container_path": "/mnt", "host_path": "/run/dir", "readonly": True},
        {"container_path": "/both", "host_path": "/run/dir", "propagation": 2},
    ]
    made = running(cri, pod, "c1", "sh", "-c", "cat /mnt/file; touch /mnt/x; echo back > /both/back", mounts=mounts)
    until(lambda: json.loads(cri.cri_ok("inspect", made))["status"]["state"] == "CONTAINER_EXITED", "its end")
    assert "from-host" in log(cri, "c1") and any("Read-only" in line for line in log(cri, "c1"))
    assert cri.cell.path("/run/dir/back").read_text() == "back\n"


def test_host_namespaces(cri):
    pod = make_pod(
        cri, sandbox("p1", linux={"security_context": {"namespace_options": {"network": 2, "pid": 2, "ipc": 2}}})
    )
    running(
        cri,
        pod,
        "c1",
        "readlink",
        "/proc/self/ns/net",
        linux={"security_context": {"namespace_options": {"network": 2, "pid": 2, "ipc": 2}}},
    )
    until(lambda: log(cri, "c1"), "its log")
    assert log(cri, "c1") == [cri.cell.ok("readlink", "/proc/1/ns/net")]


def test_a_shared_pid_namespace(cri):
    pod = make_pod(cri, sandbox("p1", linux={"security_context": {"namespace_options": {"pid": 0}}}))
    running(
        cri,
        pod,
        "c1",
        "sh",
        "-c",
        "tr '\\0' ' ' < /proc/1/cmdline; echo; sleep 300",
        linux={"security_context": {"namespace_options": {"pid": 0}}},
    )
    until(lambda: log(cri, "c1"), "its log")
    assert log(cri, "c1") == ["/pause -P "]


def test_a_command_that_cannot_be_run(cri, pod):
    made = make(cri, pod, "p1", container("c1", "/no/such"))
    result = cri.cri("start", made)
    assert result.status == 1 and "no such file or directory" in result.err, result


def test_stats(cri, pod):
    made = running(cri, pod, "c1", "sleep", "300")
    found = until(lambda: json.loads(cri.cri_ok("stats", "--output", "json", "--id", made))["stats"], "stats")[0]
    assert int(found["memory"]["workingSetBytes"]["value"]) > 0 and found["attributes"]["id"] == made


def test_exec(cri, pod):
    made = running(cri, pod, "c1", "sleep", "300")
    result = cri.cri("exec", "--sync", made, "sh", "-c", "echo out; echo err >&2")
    assert (result.status, result.out.split()) == (0, ["out", "err"]), result  # crictl prints both there
    result = cri.cell.terminal(
        cri.crictl, "exec", "-it", made, "sh", "-c", "tty; read line; echo got $line", typed="hello\n"
    )
    assert result.status == 0 and "/dev/pts/" in result.out and "got hello" in result.out, result


def test_update(cri, pod):
    made = running(cri, pod, "c1", "sleep", "300", linux={"resources": {"memory_limit_in_bytes": 100 << 20}})
    cri.cri_ok("update", "--memory", str(50 << 20), "--cpu-share", "200", made)
    assert (
        cri.cri_cgroup(made, "memory", "memory.limit_in_bytes") == str(50 << 20)
        and cri.cri_cgroup(made, "cpu", "cpu.shares") == "200"
    )
