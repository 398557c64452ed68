"""dockerd and the docker client in a cell."""

import json
import shutil

from tests.engines.cell import Result, end, until
from tests.engines.expected import PATHS
from tests.engines.page import snippet

SYSTEM_WIDE = snippet("Docker", "default-runtime")
"""The text that docs/docker.md gives for /etc/docker/daemon.json."""


def chosen(runtime):
    """The text of daemon.json that chooses a runtime: that of the page for ocirt."""
    if runtime == "ocirt":
        return SYSTEM_WIDE
    if runtime == "runc":
        return "{}\n"
    return json.dumps({"default-runtime": runtime, "runtimes": {runtime: {"path": PATHS[runtime]}}})


SOCKET = "unix:///run/docker-test.sock"
BRIDGE = "172.30.0.1/16"


class Docker:
    """A daemon in ``cell`` with ``runtime`` as its default runtime, a socket of its own, and the images loaded.

    :param prefix: words before dockerd's, to observe what it executes.
    :param config: its whole daemon.json.
    """

    def __init__(self, cell, archives, runtime="ocirt", prefix=(), config=None):
        self.cell, self.runtime, self.prefix = cell, runtime, prefix
        cell.write("/etc/docker/daemon.json", config or chosen(runtime))
        self.start()
        for name in ("busybox", "pause"):
            shutil.copy(archives / f"{name}.tar", cell.path(f"/run/{name}.tar"))
            self.ok("load", "--input", f"/run/{name}.tar")
        self.ok("tag", "localhost/busybox", "busybox")
        # Let dockerd make what it makes once and keeps: the name of its own network namespace.
        self.ok("run", "--rm", "--network", "host", "busybox", "true")

    def start(self):
        """Start the daemon and wait until it answers."""
        self.daemon = self.cell.daemon(
            *self.prefix,
            "/usr/sbin/dockerd",
            "--host",
            SOCKET,
            "--insecure-registry",
            "127.0.0.1:5000",
            "--bip",
            BRIDGE,
            "--default-ulimit",
            "nofile=20000:20000",
            "--shutdown-timeout",
            "2",
            log="/run/dockerd.log",
        )
        until(lambda: self.daemon.poll() is not None or self("version").status == 0, "dockerd answers")
        assert self.daemon.poll() is None, self.cell.path("/run/dockerd.log").read_text()[-3000:]

    def stop(self):
        end(self.daemon)

    def __call__(self, *words, **more) -> Result:
        return self.cell(*self.words(*words), **more)

    def words(self, *words):
        return "/usr/bin/docker", "--host", SOCKET, *words

    def ok(self, *words, **more):
        return self.cell.ok(*self.words(*words), **more)

    def inspect(self, name):
        return json.loads(self.ok("container", "inspect", name))[0]

    def pid(self, name):
        return self.inspect(name)["State"]["Pid"]

    def cgroup(self, name, controller, file):
        """The content of a file of the container's cgroup."""
        return self.cell.in_cgroup(self.pid(name), controller, file)

    def clean(self):
        """Remove all containers, networks and volumes."""
        names = self.ok("ps", "--all", "--quiet").split()
        if names:
            self("rm", "--force", "--volumes", *names)
        self("network", "prune", "--force")
        self("volume", "prune", "--force")
