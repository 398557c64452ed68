"""Many containers with faults mixed in; the state of the host before and after is compared."""

import os
import random
import subprocess
import time
from pathlib import Path

from tests.integration.harness import LIMIT, left_cgroups

FAULTS = 5
"""One of this many containers meets a fault: a runtime that is killed after a step or at any time, or a command that
cannot succeed."""


class Host:
    """What must be the same before and after."""

    def __init__(self, root):
        self.mounts = sorted(line.split(None, 2)[2] for line in Path("/proc/self/mountinfo").read_text().splitlines())
        self.directories = sorted(os.listdir(root)) if root.exists() else []
        self.descriptors = len(os.listdir("/proc/self/fd"))
        self.children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()

    @staticmethod
    def memory():
        """Bytes of the kernel's that containers could leave behind (unreclaimable slab), and of tmpfs."""
        fields = {
            line.split(":")[0]: int(line.split()[1]) << 10 for line in Path("/proc/meminfo").read_text().splitlines()
        }
        return fields["SUnreclaim"] + fields["Shmem"]


def variants(bundles, tmp_path):
    """The bundles to choose from: a plain one, one with hooks, and one with layers."""
    plain, hooked, layered = [bundles(f"bundle-{name}") for name in ("plain", "hooked", "layered")]
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "cat >/dev/null"]}
    hooked.config["hooks"] = {point: [hook] for point in ("createRuntime", "poststart", "poststop")}
    layers = tmp_path / "layers"
    layered.rootfs.rename(layers)
    for folder in (layered.rootfs, tmp_path / "upper", tmp_path / "work"):
        folder.mkdir()
    layered.config["annotations"] = {
        "org.ocirt.rootfs.lower": str(layers),
        "org.ocirt.rootfs.upper": str(tmp_path / "upper"),
        "org.ocirt.rootfs.work": str(tmp_path / "work"),
    }
    return [each.save() for each in (plain, hooked, layered)]


def killed(ocirt, dice, *words):
    """Run a command, and kill it after a time that it may need."""
    process = subprocess.Popen(
        ocirt.command(*words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ocirt.environment,
    )
    time.sleep(dice.random() * 0.008)
    process.kill()
    process.wait(LIMIT)


def life(ocirt, bundle, name, dice):
    """Run one container through its life, with random steps: create, start, state, exec, pause, kill, delete."""
    ocirt.ok("create", "--rootfs-annotations", "--bundle", bundle, name)
    if dice.random() < 0.8:
        ocirt.ok("start", name)
        assert ocirt.status(name) in ("running", "stopped")
        if dice.random() < 0.3:
            ocirt("exec", name, "true")
        if dice.random() < 0.3:
            ocirt("pause", name)
            ocirt("resume", name)
        ocirt("kill", name, "KILL")
    ocirt.ok("delete", "--force", name)


def fault(ocirt, faulty, bundle, name, dice):
    """Run a container in which something fails, and clean up with `delete --force`."""
    kind = dice.choice(
        (
            "create",
            "create",
            "start",
            "delete",
            "exec",
            "config",
            "create at any time",
            "run at any time",
            "exec at any time",
            "delete at any time",
        )
    )
    if kind == "create":
        faulty.environment = {**os.environ, "OCIRT_FAULT": f"create:{dice.randrange(1, 90)}:kill"}
        faulty("create", "--rootfs-annotations", "--bundle", bundle, name)
    elif kind == "config":
        assert (
            ocirt("create", "--rootfs-annotations", "--bundle", bundle, "--pid-file", "/nonexistent/pid", name).status
            == 1
        )
    elif kind in ("create at any time", "run at any time"):
        killed(ocirt, dice, kind.split()[0], "--bundle", bundle, name)
    else:
        verb = kind.split()[0]
        ocirt.ok("create", "--rootfs-annotations", "--bundle", bundle, name)
        if verb == "exec":
            ocirt.ok("start", name)
        words = {"start": ("start", name), "delete": ("delete", "--force", name), "exec": ("exec", name, "true")}[verb]
        if kind == verb:
            faulty.environment = {**os.environ, "OCIRT_FAULT": f"{verb}:{dice.randrange(1, 12)}:kill"}
            faulty(*words)
        else:
            killed(ocirt, dice, *words)
    ocirt.ok("delete", "--force", name)


def soak(ocirt, faulty, bundles, count, seed=1):
    """Run ``count`` containers of ``bundles`` and compare."""
    dice = random.Random(seed)
    for number in range(9):  # fill the caches of the kernel and of ocirt
        life(ocirt, bundles[number % len(bundles)], f"warm{number}", dice)
    before, memory = Host(ocirt.root), Host.memory()
    for number in range(count):
        bundle = dice.choice(bundles)
        if number % FAULTS == FAULTS - 1:
            fault(ocirt, faulty, bundle, f"c{number}", dice)
        else:
            life(ocirt, bundle, f"c{number}", dice)
    after = Host(ocirt.root)
    changed = {name: (was, vars(after)[name]) for name, was in vars(before).items() if was != vars(after)[name]}
    assert changed == {}
    assert left_cgroups() == []
    # Two cores and other work: the allowance grows by a kilobyte for each container, plus some for noise.
    grown = Host.memory() - memory
    assert grown < (64 << 20) + (count << 10), f"{grown} bytes more after {count} containers"
