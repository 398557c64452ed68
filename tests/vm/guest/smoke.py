#!/usr/bin/python3
"""In the guest: one container a runtime and cgroup driver, looked at from outside. ``smoke.py [CASE...]``

Writes /share/smoke.json: for each case what :func:`look` found, as ``self`` the cgroup of this process, and ``machine``: processor, kernel, systemd, Python.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
ROOT = os.geteuid() == 0
LIMITS = {"memory": {"limit": 64 << 20}, "pids": {"limit": 20}}
DENY = [{"allow": False, "access": "rwm"}]
CGROUPFS, SYSTEMD = "{top}/ocirt-test/{name}", "ocirttest.slice:smoke:{name}"
"""cgroupsPath; ``top`` is the cgroup of the user's manager, empty for root."""
CASES = {
    # name: the runtime's command, how the container's cgroup is asked for
    "runc-cgroupfs": (["runc"], CGROUPFS),
    "crun-cgroupfs": (["crun"], CGROUPFS),
    "runc-systemd": (["runc", "--systemd-cgroup"], SYSTEMD),
    "crun-systemd": (["crun", "--systemd-cgroup"], SYSTEMD),
    "ocirt-disabled": (["ocirt", "--cgroup-manager", "disabled"], None),
    "ocirt-cgroupfs": (["ocirt"], CGROUPFS),
    "ocirt-systemd": (["ocirt", "--systemd-cgroup"], SYSTEMD),
}
SCRIPT = (
    """echo "pid $$"; if (: <>/fuse) 2>/dev/null; then echo open; else echo refused; fi; echo end; exec sleep 600"""
)
"""The container's command. /fuse is a device that anybody may open and that no runtime allows by default."""


def cgroup_of(pid):
    """Path of a process's cgroup beneath /sys/fs/cgroup."""
    return Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::")


def top():
    return "" if ROOT else cgroup_of("self").partition("/app.slice")[0]


def config(name, cgroup):
    """A config.json. A container without cgroups of its own gets no limits."""
    spaces = ["pid", "mount", "ipc", "uts"] + ([] if ROOT else ["user"])
    linux = {"namespaces": [{"type": space} for space in spaces]}
    if cgroup:
        linux |= {
            "cgroupsPath": cgroup.format(top=top(), name=name),
            "resources": LIMITS | ({"devices": DENY} if ROOT else {}),
        }
    if not ROOT:
        linux |= {
            "uidMappings": [{"containerID": 0, "hostID": os.getuid(), "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": os.getgid(), "size": 1}],
        }
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": True},
        "hostname": name,
        "process": {"args": ["/bin/sh", "-c", SCRIPT], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        ],
        "linux": linux,
    }


def make_bundle(path, name, cgroup):
    rootfs = path / "rootfs"
    for folder in ("bin", "proc", "dev"):
        (rootfs / folder).mkdir(parents=True)
    shutil.copy("/bin/busybox", rootfs / "bin")
    for link in ("sh", "sleep"):
        (rootfs / "bin" / link).symlink_to("busybox")
    if ROOT:
        os.mknod(rootfs / "fuse", stat.S_IFCHR, os.makedev(10, 229))
        (rootfs / "fuse").chmod(0o666)
    (path / "config.json").write_text(json.dumps(config(name, cgroup)))


def read(path):
    return path.read_text().strip() if path.exists() else None


def look(name):
    """Create, start, look, delete.

    :returns: ``error``, the runtime's own words, of the first command that failed; else ``said``, the container's words,
        ``cgroup``, ``memory`` and ``pids`` (the cgroup's limits), ``left`` (whether the cgroup is still there at the end).
    """
    runtime, cgroup = CASES[name]
    with tempfile.TemporaryDirectory(prefix="smoke-") as folder:
        folder = Path(folder)
        command = [*runtime, "--root", folder / "state"]
        make_bundle(folder / "bundle", name, cgroup)

        def run(*words, output=None):
            with open(folder / "errors", "w+") as errors:
                done = subprocess.run(
                    [*command, *words], stdin=subprocess.DEVNULL, stdout=output, stderr=errors, timeout=60
                )
                errors.seek(0)
                return None if done.returncode == 0 else f"{words[0]}: status {done.returncode}: {errors.read()}"

        try:
            with open(folder / "said", "w") as said:
                error = run("create", "--bundle", folder / "bundle", "--pid-file", folder / "pid", name, output=said)
            error = error or run("start", name)
            if error:
                return {"error": error}
            # `start` returns when the program has been executed; what it says comes a little later.
            subprocess.run(
                ["timeout", "30", "sh", "-c", 'until grep -q end "$0"; do sleep 0.1; done', folder / "said"], check=True
            )
            own = cgroup_of(read(folder / "pid"))
            found = {
                "said": read(folder / "said").split("\n"),
                "cgroup": own,
                "memory": read(CGROUPS / own[1:] / "memory.max"),
                "pids": read(CGROUPS / own[1:] / "pids.max"),
            }
        finally:
            error = run("delete", "--force", name)
        return {"error": error} if error else found | {"left": (CGROUPS / own[1:]).exists()}


def main():
    systemd = "none"
    if shutil.which("systemctl"):
        done = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True)
        systemd = done.stdout.split()[1]
    found = {
        "self": cgroup_of("self"),
        "machine": {
            "processor": os.uname().machine,
            "kernel": os.uname().release,
            "systemd": systemd,
            "python": sys.version.split()[0],
        },
    }
    for name in sys.argv[1:] or CASES:
        found[name] = look(name)
        print(name, json.dumps(found[name]), flush=True)
    Path("/share/smoke.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
