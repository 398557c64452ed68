"""A real Kubernetes node: a kubelet whose containerd has ocirt as a RuntimeClass, and as the default."""

import json
import os
import platform
import time
from pathlib import Path

import pytest

from conformance.commit import commit
from tests.engines.cell import Cell, until
from tests.engines.containerd import IMAGE
from tests.kubernetes.node import SECONDS, Node

MEBIBYTE = 1 << 20
CROWD = 50
"""The pods of the test under load, each with an exec probe a second."""
WATCHED = 30
"""Seconds for which the test under load adds up processor time."""
TREE = Path(__file__).parents[2]
RESULT = TREE / "build/kubernetes.json"
RECORD = TREE / "docs/kubernetes.json"
"""The result that docs/kubernetes.md shows. OCIRT_TEST_RECORD=1 writes it."""


@pytest.fixture(scope="module")
def node(cell, archives, runtime):
    node = Node(cell, archives, runtime)
    yield node
    node.stop()


def pod_spec(*command, **more):
    """A pod's spec with one container ``main``, which runs ``command`` by the RuntimeClass. ``more`` are properties of
    the container; those that a pod has are the pod's.
    """
    of_pod = {key: more.pop(key) for key in ("initContainers", "restartPolicy", "volumes") if key in more}
    return {
        "runtimeClassName": "ocirt",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container("main", *command, **more)],
        **of_pod,
    }


def container(name, *command, **more):
    return {"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": list(command), **more}


def pod(name, spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def deployment(name, replicas, spec):
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def status(node, name, which="containerStatuses"):
    """The status of the first container of a pod; an empty dict before the kubelet has told any."""
    return (node.get("pod", name)["status"].get(which) or [{}])[0]


def is_ready(node, name):
    return status(node, name).get("ready", False)


def id_of(node, name):
    """containerd's id of the pod's container ``main``."""
    return status(node, name)["containerID"].removeprefix("containerd://")


def process_of(node, name):
    """The pid of the pod's container ``main``, in the cell."""
    return json.loads(node.containerd.cri_ok("inspect", id_of(node, name)))["info"]["pid"]


def limit_of(node, name, controller, file):
    return int(node.containerd.cri_cgroup(id_of(node, name), controller, file))


def exec_probe(*command, **more):
    return {"exec": {"command": list(command)}, "periodSeconds": 1, "timeoutSeconds": 30, **more}


def test_a_deployment(node, runtime):
    """Two pods of a Deployment with a RuntimeClass: an init container that writes what the probe reads, and limits."""
    volume = [{"name": "shared", "mountPath": "/shared"}]
    spec = pod_spec(
        "sh",
        "-c",
        "echo begun; exec sleep 600",
        volumeMounts=volume,
        readinessProbe=exec_probe("cat", "/shared/made"),
        livenessProbe=exec_probe("true"),
        resources={"limits": {"memory": "64Mi", "cpu": "500m"}},
        volumes=[{"name": "shared", "emptyDir": {}}],
        initContainers=[container("first", "sh", "-c", "echo made > /shared/made", volumeMounts=volume)],
    )
    node.apply(deployment("web", 2, spec))
    node.ok("rollout", "status", "deployment/web", f"--timeout={SECONDS}s", limit=SECONDS)
    pods = [each["metadata"]["name"] for each in node.get("pods", app="web")]
    assert len(pods) == 2
    for name in pods:
        assert status(node, name, "initContainerStatuses")["state"]["terminated"]["reason"] == "Completed"
        assert limit_of(node, name, "memory", "memory.limit_in_bytes") == 64 * MEBIBYTE
        assert limit_of(node, name, "cpu", "cpu.cfs_quota_us") == 50000
        assert node.ok("logs", name, "--container", "main") == "begun"
        assert node.ok("exec", name, "--container", "main", "--", "cat", "/shared/made") == "made"
        if runtime == "ocirt":
            state = node.cell.ok("ocirt", "--root", "/run/containerd/runc/k8s.io", "state", id_of(node, name))
            assert json.loads(state)["pid"] == process_of(node, name)
    node.delete("deployment", "web")
    until(lambda: not node.get("pods", app="web"), "the pods' end", SECONDS)


def test_a_liveness_probe_that_fails_restarts_the_container(node):
    spec = pod_spec(
        "sh",
        "-c",
        "touch /tmp/alive; sleep 5; rm /tmp/alive; sleep 600",
        livenessProbe=exec_probe("cat", "/tmp/alive", failureThreshold=2),
    )
    node.apply(pod("restarted", spec))
    until(lambda: status(node, "restarted").get("restartCount", 0) >= 1, "a restart", SECONDS)
    assert status(node, "restarted")["lastState"]["terminated"]["exitCode"] == 137
    node.delete("pod", "restarted")


def test_limits_are_resized_in_place(node):
    """The kubelet updates the container's cgroups, and the container goes on."""
    limits = {"memory": "64Mi", "cpu": "200m"}
    node.apply(pod("resized", pod_spec("sleep", "600", resources={"limits": limits})))
    until(lambda: is_ready(node, "resized"), "the pod", SECONDS)
    before = process_of(node, "resized")
    larger = {"memory": "128Mi", "cpu": "400m"}
    change = {"spec": {"containers": [{"name": "main", "resources": {"limits": larger, "requests": larger}}]}}
    node.ok("patch", "pod", "resized", "--subresource", "resize", "--patch", json.dumps(change))
    until(
        lambda: (
            limit_of(node, "resized", "memory", "memory.limit_in_bytes") == 128 * MEBIBYTE
            and limit_of(node, "resized", "cpu", "cpu.cfs_quota_us") == 40000
        ),
        "the new limits",
        SECONDS,
    )
    until(lambda: status(node, "resized").get("resources", {}).get("limits") == larger, "the kubelet's word", SECONDS)
    assert process_of(node, "resized") == before and status(node, "resized")["restartCount"] == 0
    node.delete("pod", "resized")


def test_an_oom_is_told_as_one(node):
    spec = pod_spec("sh", "-c", "exec tail /dev/zero", resources={"limits": {"memory": "32Mi"}}, restartPolicy="Never")
    node.apply(pod("greedy", spec))
    ended = until(lambda: status(node, "greedy").get("state", {}).get("terminated"), "its end", SECONDS)
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    node.delete("pod", "greedy")


def shims_time(node):
    """Seconds of processor time of the runtimes that containerd's shims have executed and waited for, and of the probes'
    own processes, which they wait for as well.
    """
    ticks = 0
    for pid, line in node.cell.processes().items():
        if "containerd-shim-runc-v2" in line:
            fields = node.cell.path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[13]) + int(fields[14])  # cutime, cstime
    return ticks / os.sysconf("SC_CLK_TCK")


def under_load(archives, runtime):
    """What :data:`CROWD` pods with an exec probe a second cost: processor time of the runtime a second, and how many of
    them were ready when it was measured.
    """
    with Cell(f"kubernetes-load-{runtime}") as cell:
        node = Node(cell, archives, runtime)
        try:
            spec = pod_spec("sleep", "3600", readinessProbe=exec_probe("true"))
            spec["runtimeClassName"] = runtime if runtime == "ocirt" else None
            begun = time.monotonic()
            node.apply(deployment("crowd", CROWD, spec))
            until(lambda: node.get("deployment", "crowd")["status"].get("readyReplicas") == CROWD, "all pods", 600)
            seconds_until_ready = time.monotonic() - begun
            before, begun = shims_time(node), time.monotonic()
            time.sleep(WATCHED)
            used = (shims_time(node) - before) / (time.monotonic() - begun)
            ready = node.get("deployment", "crowd")["status"].get("readyReplicas", 0)
            return {
                "pods": CROWD,
                "ready": ready,
                "seconds until ready": round(seconds_until_ready, 1),
                "processor seconds of the runtime a second": round(used, 3),
            }
        finally:
            node.stop()


def circumstances():
    """When, of what and with which Debian's engines the lane has measured."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "Debian": platform.freedesktop_os_release()["VERSION_CODENAME"],
    }


def test_fifty_pods_with_exec_probes(archives):
    """A node under load keeps all pods ready, and the runtime takes less processor time than runc."""
    results = {runtime: under_load(archives, runtime) for runtime in ("ocirt", "runc")}
    RESULT.write_text(json.dumps(results, indent=2) + "\n")
    print(results)
    if os.environ.get("OCIRT_TEST_RECORD") == "1":
        RECORD.write_text(json.dumps({"measured": circumstances(), **results}, indent=2) + "\n")
    assert results["ocirt"]["ready"] == CROWD
    used = {runtime: result["processor seconds of the runtime a second"] for runtime, result in results.items()}
    assert used["ocirt"] < used["runc"]
