"""A Kubernetes node in a cell: etcd, the control plane, and a kubelet on containerd. hack/test --kubernetes builds the
programs (need_kubernetes in hack/lib.sh).

Everything listens in the cell's own network namespace, where only the cell's processes are, so every caller may do
everything. The kubelet's cgroup root is the cell's cgroup.
"""

import json

from tests.engines.cell import end, until
from tests.engines.containerd import SOCKET, Containerd

PROGRAMS = "/opt/kubernetes"
"""Where the cell sees kubelet, kubectl, kube-apiserver, kube-controller-manager, kube-scheduler and etcd."""
ADDRESS = "10.98.0.1"
"""The node's address, on the cell's lo: the API server refuses to be found at 127.0.0.1."""
API = f"https://{ADDRESS}:6443"
NAME = "node"
FOLDER = "/run/kubernetes"
KUBECONFIG = f"{FOLDER}/config"
SECONDS = 240
"""The most seconds until the control plane answers and the node is ready, on a busy machine."""
TUNED = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet writes into /proc/sys. They belong to the whole machine, so the cell shows the kubelet files that hold
these values already, and the rest of these folders is read-only."""
KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "address": ADDRESS,
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "cgroupDriver": "cgroupfs",
    "containerRuntimeEndpoint": f"unix://{SOCKET}",
    "enforceNodeAllocatable": [],
    "evictionHard": {"memory.available": "1Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    "failCgroupV1": False,
    "failSwapOn": False,
    "featureGates": {"KubeletInUserNamespace": True},
    "imageGCHighThresholdPercent": 100,
    "localStorageCapacityIsolation": False,
    "maxPods": 110,
    "oomScoreAdj": 0,
    "podLogsDir": "/var/log/pods",
    "registerNode": True,
    "resolvConf": "",
    "syncFrequency": "2s",
}
"""KubeletInUserNamespace lets the kubelet go on without the right to lower oom_score_adj, as in a
container; it changes nothing about the pods' runtime."""
SETTINGS = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": NAME,
    "clusters": [{"name": NAME, "cluster": {"server": API, "insecure-skip-tls-verify": True}}],
    "users": [{"name": NAME, "user": {"token": "token"}}],
    "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
}
CONDITION = 'jsonpath={range .status.conditions[?(@.type=="Ready")]}"{.status}"{end}'
RUNTIME_CLASS = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "ocirt"},
    "handler": "ocirt",
}


class Node:
    """A node that is ready. ``runtime`` is what containerd's configuration names as the default handler."""

    def __init__(self, cell, archives, runtime):
        self.cell, self.daemons = cell, []
        self._prepare()
        self.containerd = Containerd(cell, archives, runtime, crictl="/opt/cri-tools/crictl")
        self._start("etcd", "--data-dir", f"{FOLDER}/etcd", "--unsafe-no-fsync", "--log-level", "warn")
        self._start(
            "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--advertise-address={ADDRESS}",
            f"--cert-dir={FOLDER}/certificates",
            f"--token-auth-file={FOLDER}/tokens",
            "--authorization-mode=AlwaysAllow",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={FOLDER}/key",
            f"--service-account-signing-key-file={FOLDER}/key",
            "--service-account-issuer=https://kubernetes",
            "--service-cluster-ip-range=10.97.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
        )
        self.ready("the API server", lambda: self("get", "--raw", "/readyz").status == 0)
        self._start(
            "kube-controller-manager",
            f"--kubeconfig={KUBECONFIG}",
            f"--service-account-private-key-file={FOLDER}/key",
            "--leader-elect=false",
        )
        self._start("kube-scheduler", f"--kubeconfig={KUBECONFIG}", "--leader-elect=false")
        self._start(
            "kubelet",
            f"--config={FOLDER}/kubelet.json",
            f"--kubeconfig={KUBECONFIG}",
            f"--hostname-override={NAME}",
            f"--node-ip={ADDRESS}",
        )
        self.ready("the node", lambda: '"True"' in self("get", "node", NAME, "-o", CONDITION).out)
        self.apply(RUNTIME_CLASS)

    def _prepare(self):
        cell = self.cell
        cell.ok("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        for folder in ("vm", "kernel"):
            cell.ok("mount", "--bind", f"/proc/sys/{folder}", f"/proc/sys/{folder}")
            cell.ok("mount", "-o", "remount,bind,ro", f"/proc/sys/{folder}")
        for name, value in TUNED.items():
            cell.write(f"{FOLDER}/sysctl/{name}", value)
            cell.ok("mount", "--bind", f"{FOLDER}/sysctl/{name}", f"/proc/sys/{name}")
        # The kubelet reads the kernel's log for its events. A root of hack/engines-root has none.
        cell.ok("sh", "-c", "[ -e /dev/kmsg ] || mknod /dev/kmsg c 1 3")
        cell.write(KUBECONFIG, json.dumps(SETTINGS))
        cell.write(f"{FOLDER}/tokens", "token,admin,admin,system:masters\n", 0o600)
        cell.write(f"{FOLDER}/kubelet.json", json.dumps(KUBELET))
        cell.ok("openssl", "genrsa", "-out", f"{FOLDER}/key", "2048")

    def _start(self, program, *words):
        self.daemons.append((program, self.cell.daemon(f"{PROGRAMS}/{program}", *words, log=f"/run/{program}.log")))

    def ready(self, what, condition):
        """Wait until ``condition()`` holds; a program that has ended meanwhile fails with the end of its log."""

        def check():
            for program, process in self.daemons:
                assert process.poll() is None, f"{program} has ended: {self.log(program)}"
            return condition()

        until(check, what, SECONDS)

    def log(self, program):
        return self.cell.path(f"/run/{program}.log").read_text()[-3000:]

    def stop(self):
        for _, process in reversed(self.daemons):
            end(process)
        self.containerd.clean()
        self.containerd.stop()

    def __call__(self, *words, **more):
        """Run kubectl."""
        return self.cell(f"{PROGRAMS}/kubectl", f"--kubeconfig={KUBECONFIG}", *words, **more)

    def ok(self, *words, **more):
        return self.cell.ok(f"{PROGRAMS}/kubectl", f"--kubeconfig={KUBECONFIG}", *words, **more)

    def apply(self, *objects):
        self.ok("apply", "--filename", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, kind, name=None, **labels):
        """An object, or the list of those that have all of ``labels``."""
        words = [name] if name else ["--selector", ",".join(f"{key}={value}" for key, value in labels.items())]
        found = json.loads(self.ok("get", kind, *words, "--output", "json"))
        return found if name else found["items"]

    def delete(self, kind, name):
        self.ok("delete", kind, name, "--grace-period=1", "--wait=true", limit=120)
