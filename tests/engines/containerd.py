"""containerd in a cell, with its own client ctr, and crictl at its CRI plugin."""

import itertools
import json
import shutil

from tests.engines.cell import Result, end, until
from tests.engines.expected import PATHS
from tests.engines.page import snippet

SYSTEM_WIDE = snippet("containerd", "version")
"""The text that docs/containerd.md gives for /etc/containerd/config.toml: a handler, which is also the default."""
CONFIG = """\
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:latest"
  restrict_oom_score_adj = true  # root of some machines lacks CAP_SYS_RESOURCE
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/run/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"""
"""Further settings of the tests."""


def chosen(runtime):
    """The text of config.toml that chooses a runtime: that of the page, with another name and path for another
    runtime. CONFIG has runc's.
    """
    if runtime == "runc":
        return "version = 2\n"
    return SYSTEM_WIDE.replace(PATHS["ocirt"], PATHS[runtime]).replace("ocirt", runtime)


NETWORK = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": False,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
SOCKET = "/run/containerd/containerd.sock"
IMAGE = "localhost/busybox:latest"


class Containerd:
    """A daemon in ``cell`` with the images loaded, for ctr and for the CRI. ``runtime`` is the CRI's default, and the
    one that
    :meth:`run` uses.

    :param crictl: crictl's path; None if only ctr is used.
    :param prefix: words before containerd's, to observe what it executes.
    :param config: its whole config.toml.
    """

    def __init__(self, cell, archives, runtime="ocirt", crictl=None, prefix=(), config=None):
        self.cell, self.runtime = cell, runtime
        cell.write("/etc/containerd/config.toml", config or chosen(runtime) + CONFIG)
        cell.write("/run/cni/pods.conflist", json.dumps(NETWORK))
        self.crictl = crictl
        cell.write(
            "/etc/crictl.yaml", f"runtime-endpoint: unix://{SOCKET}\nimage-endpoint: unix://{SOCKET}\ntimeout: 20\n"
        )
        self.daemon = cell.daemon(*prefix, "containerd", log="/run/containerd.log")
        until(lambda: self.daemon.poll() is not None or self("version").status == 0, "containerd answers")
        assert self.daemon.poll() is None, cell.path("/run/containerd.log").read_text()[-3000:]
        for name in ("busybox", "pause"):
            shutil.copy(archives / f"{name}.tar", cell.path(f"/run/{name}.tar"))
            for namespace in ("default", "k8s.io"):
                cell.ok("ctr", "--namespace", namespace, "images", "import", f"/run/{name}.tar")

    def stop(self):
        end(self.daemon)

    def __call__(self, *words, **more) -> Result:
        return self.cell("ctr", *words, **more)

    def ok(self, *words, **more):
        return self.cell.ok("ctr", *words, **more)

    def words(self, *words):
        """The words of `ctr run` with the runtime: flags, then the container's id and command; the image is busybox."""
        flags = list(itertools.takewhile(lambda word: word.startswith("-"), words))
        rest = words[len(flags) :]
        binary = PATHS[self.runtime]
        return "ctr", "run", "--runtime", "io.containerd.runc.v2", "--runc-binary", binary, *flags, IMAGE, *rest

    def run(self, *words, **more):
        return self.cell(*self.words(*words), **more)

    def pid(self, name):
        for line in self.ok("tasks", "list").splitlines()[1:]:
            if line.split()[0] == name:
                return int(line.split()[1])
        raise AssertionError(f"no task {name}")

    def cgroup(self, name, controller, file):
        """The content of a file of the container's cgroup."""
        return self.cell.in_cgroup(self.pid(name), controller, file)

    def clean(self):
        """Remove all containers of ctr and of the CRI."""
        for name in self.ok("tasks", "list", "--quiet").split():
            self("tasks", "resume", name)
            self("tasks", "kill", "--signal", "KILL", "--all", name)
            self("tasks", "delete", "--force", name)
        for name in self.ok("containers", "list", "--quiet").split():
            self("containers", "delete", name)
        if self.crictl:
            self.cri("rmp", "--all", "--force")
            self.cell("rm", "-rf", "/run/pods")

    # ---- the CRI ----

    def cri(self, *words, **more) -> Result:
        return self.cell(self.crictl, *words, **more)

    def cri_ok(self, *words, **more):
        return self.cell.ok(self.crictl, *words, **more)

    def cri_cgroup(self, container, controller, file):
        pid = json.loads(self.cri_ok("inspect", container))["info"]["pid"]
        return self.cell.in_cgroup(pid, controller, file)


def sandbox(name, **more):
    """A PodSandboxConfig."""
    linux = {"cgroup_parent": "/pods", **more.pop("linux", {})}
    return {
        "metadata": {"name": name, "namespace": "test", "uid": f"uid-{name}", "attempt": 1},
        "log_directory": "/run/pods",
        "linux": linux,
        **more,
    }


def container(name, *command, **more):
    """A ContainerConfig."""
    return {
        "metadata": {"name": name},
        "image": {"image": IMAGE},
        "command": list(command),
        "log_path": f"{name}.log",
        "linux": {},
        **more,
    }
