"""podman (and buildah, which shares its storage) in a cell."""

import json
import shutil
import time

from tests.engines.cell import Result
from tests.engines.page import snippet

CONFIG = """\
[containers]
# root of some machines lacks CAP_SYS_RESOURCE: podman's own defaults are above its limits
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[network]
network_backend = "netavark"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
infra_image = "localhost/pause:latest"
"""
SYSTEM_WIDE = snippet("podman", "[engine]")
"""The text that docs/podman.md gives for /etc/containers/containers.conf.d/ocirt.conf."""


def chosen(runtime):
    """The text of containers.conf that chooses a runtime: that of the page for ocirt."""
    return SYSTEM_WIDE if runtime == "ocirt" else f'[engine]\nruntime = "{runtime}"\n'


STORAGE = """\
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
"""
REGISTRIES = """\
unqualified-search-registries = ["localhost"]
[[registry]]
location = "127.0.0.1:5000"
insecure = true
"""


class Podman:
    """podman in ``cell``, with ``runtime`` for all containers, and with the images loaded."""

    def __init__(self, cell, archives, runtime="ocirt"):
        self.cell, self.runtime = cell, runtime
        cell.write("/etc/containers/containers.conf", CONFIG)
        cell.write("/etc/containers/containers.conf.d/ocirt.conf", chosen(runtime))
        cell.write("/etc/containers/storage.conf", STORAGE)
        cell.write("/etc/containers/registries.conf", REGISTRIES)
        cell.write("/etc/subuid", "containers:200000:500000\n")
        cell.write("/etc/subgid", "containers:200000:500000\n")
        # Newer shadows look for ranges of users that exist.
        passwd = cell.path("/etc/passwd")
        passwd.write_text(passwd.read_text() + "containers:x:199999:65534::/nonexistent:/bin/false\n")
        for name in ("busybox", "pause"):
            shutil.copy(archives / f"{name}.tar", cell.path(f"/run/{name}.tar"))
            cell.ok("podman", "load", "-i", f"/run/{name}.tar")
        # Let podman make what it makes once and keeps: its cgroups, mounts and bridge.
        cell.ok("podman", "run", "--rm", "busybox", "true")

    def __call__(self, *words, **more) -> Result:
        return self.cell("podman", *words, **more)

    def ok(self, *words, **more):
        return self.cell.ok("podman", *words, **more)

    def inspect(self, name):
        return json.loads(self.ok("container", "inspect", name))[0]

    def pid(self, name):
        return self.inspect(name)["State"]["Pid"]

    def cgroup(self, name, controller, file):
        """The content of a file of the container's cgroup."""
        return self.cell.in_cgroup(self.pid(name), controller, file)

    def clean(self):
        """Remove all pods, containers, networks and volumes."""
        self("pod", "rm", "--all", "--force", "--time", "0")
        self("rm", "--all", "--force", "--time", "0")
        self("network", "prune", "--force")
        self("volume", "prune", "--force")


def wait_log(engine, name, text, seconds=20):
    """Wait until the log of a container has ``text``."""
    end = time.monotonic() + seconds
    while text not in (result := engine("logs", name)).out + result.err:
        assert time.monotonic() < end, f"{name} did not say {text!r}: {result}"
        time.sleep(0.05)
