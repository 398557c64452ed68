"""What the integration tests share: the runtime as a command, bundles, and checks of what is left behind."""

import json
import os
import pwd
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from conformance.cells import is_mounted

TREE = Path(__file__).resolve().parents[2]
CGROUPS = Path("/sys/fs/cgroup")
PARENT = os.environ.get("OCIRT_TEST_PARENT", "/ocirt-test") + os.environ.get("PYTEST_XDIST_WORKER", "")
"""The parent cgroup of all containers. Runs with different parents can run at the same time, as do the workers of
pytest-xdist, each of which has a name.
"""
TOPS = (PARENT[1:], f"{PARENT[1:]}-relative", f"{PARENT[1:]}-absent")
"""The cgroups of these tests at the top of a hierarchy; other lanes have names of their own."""
LIMIT = 30 * int(os.environ.get("OCIRT_TEST_SLOWNESS", "1"))
"""The most seconds for any command of a test."""


V2 = (CGROUPS / "cgroup.controllers").exists()
"""Has this host only cgroup v2, with one hierarchy for all controllers?"""
MANAGER = [f"--cgroup-manager={name}" for name in os.environ.get("OCIRT_TEST_CGROUP_MANAGER", "").split()]
"""The flag for all commands; empty if the variable is not set."""
SYSTEMD = MANAGER == ["--cgroup-manager=systemd"]
"""Does systemd make the containers' cgroups, as scopes in SLICE?"""
SLICE = "ocirttest.slice"


def cgroups_path(name):
    """``linux.cgroupsPath`` of the test container ``name``, in the form of this run's cgroup manager."""
    return f"{SLICE}:ocirt:{name}" if SYSTEMD else f"{PARENT}/{name}"


def cgroup_of(path):
    """The cgroup that a ``linux.cgroupsPath`` names, in the form of /proc/PID/cgroup."""
    parent, *unit = path.split(":")
    return f"/{parent}/{'-'.join(unit)}.scope" if unit else path


OWN = cgroup_of(cgroups_path("bundle"))
"""The cgroup of the container that the fixture `bundle` makes."""


def hierarchies():
    """Mount points of the cgroup hierarchies, v1 and unified."""
    if V2:
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if is_mounted(path) and (path / "cgroup.procs").exists()]


def remove_cgroups():
    """Kill, by pidfd, all processes below /ocirt-test*, and remove the cgroups; the same for scopes of systemd."""
    if left_scopes():
        (CGROUPS / SLICE / "cgroup.kill").write_text("1")
        for words in (["stop", SLICE], ["reset-failed"]):
            subprocess.run(["systemctl", *words], stdin=subprocess.DEVNULL, timeout=LIMIT, check=True)
    for top in hierarchies():
        for tree in [top / name for name in TOPS if (top / name).exists()]:
            for folder, _, _ in os.walk(tree, topdown=False):
                for freezer, thawed in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                    if Path(folder, freezer).exists():
                        Path(folder, freezer).write_text(thawed)
                if Path(folder, "cgroup.type").exists() and Path(folder, "cgroup.type").read_text() == "threaded\n":
                    os.rmdir(folder)
                    continue
                for _ in range(100):
                    pids = Path(folder, "cgroup.procs").read_text().split()
                    if not pids:
                        break
                    for pid in pids:
                        kill_in_cgroup(int(pid), Path(folder))
                for _ in range(200):
                    try:
                        os.rmdir(folder)
                        break
                    except OSError:
                        time.sleep(0.01)


def kill_in_cgroup(pid, folder):
    """SIGKILL ``pid`` if the process, held by a pidfd, is still in the cgroup ``folder``."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if str(pid) in (folder / "cgroup.procs").read_text().split():
            signal_pidfd(pidfd, 9)
    finally:
        os.close(pidfd)


def signal_pidfd(pidfd, number):
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass


def left_cgroups():
    return (
        sorted(str(path) for top in hierarchies() for path in [top / name for name in TOPS] if path.exists())
        + left_scopes()
    )


def left_scopes():
    """The scopes in SLICE. Systemd removes the slice itself when it is empty."""
    return sorted(map(str, (CGROUPS / SLICE).glob("*.scope"))) if SYSTEMD else []


class Result:
    """The result of a command of the runtime."""

    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return f"status {self.status}\nstdout: {self.out}\nstderr: {self.err}"


class Bundle:
    """A bundle with `ocirt spec`'s config, changed: no terminal, cgroups below /ocirt-test."""

    def __init__(self, path, config):
        self.path, self.config = path, config
        self.rootfs = path / "rootfs"

    def __str__(self):
        return str(self.path)

    def args(self, *args):
        self.config["process"]["args"] = list(args)
        return self

    def shell(self, script):
        return self.args("sh", "-c", script)

    def save(self):
        (self.path / "config.json").write_text(json.dumps(self.config, indent=1))
        return self

    def namespace(self, kind, path=None):
        """Ask for a namespace; with ``path`` join it."""
        spaces = self.config["linux"]["namespaces"]
        spaces[:] = [space for space in spaces if space["type"] != kind] + [
            {"type": kind, **({"path": path} if path else {})}
        ]
        return self

    def without_namespace(self, kind):
        spaces = self.config["linux"]["namespaces"]
        spaces[:] = [space for space in spaces if space["type"] != kind]
        return self


class Runtime:
    """The executable under test with a root directory of its own."""

    def __init__(self, executable, root):
        self.executable, self.root, self.environment = executable, root, None

    def command(self, *words, options=()):
        return [str(self.executable), "--root", str(self.root), *MANAGER, *map(str, options), *map(str, words)]

    def __call__(self, *words, options=(), timeout=LIMIT, **more):
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("env", self.environment)
        # Files, not pipes: processes that `create` leaves running keep the streams open.
        with (
            tempfile.TemporaryFile("w+", errors="backslashreplace") as out,
            tempfile.TemporaryFile("w+", errors="backslashreplace") as err,
        ):
            done = subprocess.run(
                self.command(*words, options=options), stdout=out, stderr=err, timeout=timeout, **more
            )
            out.seek(0), err.seek(0)
            done.stdout, done.stderr = out.read(), err.read()
        return Result(done)

    def ok(self, *words, **more):
        result = self(*words, **more)
        assert result.status == 0, result
        return result

    def fails(self, *words, status=1, **more):
        """Check that a command has an error's exit status and prints exactly one line.

        :returns: the message of the line.
        """
        result = self(*words, **more)
        assert result.status == status, result
        lines = result.err.splitlines()
        assert len(lines) == 1, result
        assert lines[0].startswith('time="') and " level=error msg=" in lines[0], result
        return lines[0].split(" msg=", 1)[1]

    def create(self, bundle, name, *flags, **more):
        return self("create", "--bundle", bundle, *flags, name, **more)

    def state(self, name):
        return json.loads(self.ok("state", name).out)

    def status(self, name):
        return self.state(name)["status"]

    def wait_status(self, name, status, seconds=LIMIT / 3):
        """Wait until the container has ``status``. This must poll, because the kernel does not notify other processes
        of it.
        """
        end = time.monotonic() + seconds
        while self.status(name) != status:
            assert time.monotonic() < end, f"{name} is {self.status(name)}, not {status}"
            time.sleep(0.01)

    def ids(self):
        return sorted(path.name for path in Path(self.root).iterdir()) if Path(self.root).exists() else []


ROOT = os.geteuid() == 0
UID, NAME = (54321, "ocirt-tester") if ROOT else (os.geteuid(), pwd.getpwuid(os.geteuid()).pw_name)
AS_USER = {"user": UID, "group": UID, "extra_groups": []} if ROOT else {}
"""Arguments for subprocess to run a command as the user."""
SUBORDINATE = (
    700000 if ROOT else int(next(line for line in open("/etc/subuid") if line.startswith(f"{NAME}:")).split(":")[1])
)
"""The first of the user's subordinate ids, of users and of groups."""
ENTRIES = {
    "passwd": f"{NAME}:x:{UID}:{UID}::/nonexistent:/bin/sh\n",
    "group": f"{NAME}:x:{UID}:\n",
    "subuid": f"{NAME}:{SUBORDINATE}:65536\n",
    "subgid": f"{NAME}:{SUBORDINATE}:65536\n",
}


class User(Runtime):
    """The runtime, called by the user."""

    def __call__(self, *words, **more):
        return super().__call__(*words, cwd="/", **AS_USER, **more)


def built(folder):
    path = TREE / "build" / folder / "ocirt"
    return Path(os.environ["OCIRT"]) if folder == "bin" and "OCIRT" in os.environ else path


def cgroup_file(bundle, controller, file):
    """The content of a file of the bundle's cgroup; ``controller`` chooses the hierarchy on v1."""
    path = cgroup_of(bundle.config["linux"]["cgroupsPath"])
    return (CGROUPS / ("" if V2 else controller) / path.lstrip("/") / file).read_text().strip()


def enough_output(path, seconds=LIMIT / 3):
    """The content of a file that a container writes, once it ends with a newline."""
    end = time.monotonic() + seconds
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < end, f"{path} stays empty"
        time.sleep(0.01)
    return path.read_text()
