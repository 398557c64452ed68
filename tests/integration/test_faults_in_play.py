"""The runtime killed after each step of create, start, exec and delete of a container that has all that can be left behind: hooks
at every point, a rootfs of layers, a network device, a mount with a target of its own.

A step in so many; with OCIRT_FAULT_ALL=1 each of them.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT
from tests.integration.leftovers import Adopted, Leftovers
from tests.integration.test_faults import fault, steps_of
from tests.integration.test_netdevices import Network, names_in

STRIDE = 1 if os.environ.get("OCIRT_FAULT_ALL") == "1" else 7
POINTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
DEVICE = "link add eth7 address 02:00:00:00:00:07 mtu 1400 type veth peer name peer7\naddr add 10.1.2.3/24 dev eth7\nlink set eth7 up\n"


@pytest.fixture
def network(ocirt):
    with Adopted():
        made = Network(ocirt.root)
        yield made
        for name in ocirt.ids():
            made.ocirt("delete", "--force", name)
        made.holder.kill()
        made.holder.wait(LIMIT)


@pytest.fixture
def place(bundle, tmp_path):
    """The bundle with everything in play; its directory."""
    layer, upper, work, volume = [tmp_path / "layers" / name for name in ("layer", "upper", "work", "volume")]
    layer.parent.mkdir()
    bundle.rootfs.rename(layer)
    for folder in (bundle.rootfs, upper, work, volume):
        folder.mkdir()
    bundle.config["annotations"] = {
        "org.ocirt.rootfs.lower": str(layer),
        "org.ocirt.rootfs.upper": str(upper),
        "org.ocirt.rootfs.work": str(work),
    }
    bundle.config["root"]["readonly"] = False
    bundle.config["hooks"] = {point: [{"path": "/bin/true"}] for point in POINTS}
    bundle.config["mounts"].append({"destination": "/volume/deep", "source": str(volume), "options": ["rbind"]})
    bundle.namespace("network")
    bundle.config["linux"]["netDevices"] = {"eth7": {"name": "inside"}}
    bundle.save()
    return layer.parent


class Case:
    """What is done again and again."""

    def __init__(self, network, bundle, place, tmp_path):
        self.network, self.bundle, self.tmp_path = network, bundle, tmp_path
        self.create = ("create", "--rootfs-annotations", "--bundle", bundle, "c1")
        self.plug()
        for _ in range(2):  # caches fill, and the overlay makes what it needs in its directories
            network.ocirt.ok(*self.create)
            network.ocirt.ok("start", "c1")
            self.clear()
        self.clean = Leftovers(network.ocirt, bundle.path, place)

    def plug(self):
        """The device, anew where it has gone with a container."""
        if "eth7" not in names_in(self.network.pid):
            subprocess.run(
                ["nsenter", f"--net=/proc/{self.network.pid}/ns/net", "ip", "-batch", "-"],
                input=DEVICE,
                text=True,
                timeout=LIMIT,
                check=True,
            )

    def clear(self, cut_off=False):
        """`delete --force`. The device has gone with the namespace, its peer too; but where create has been ``cut_off`` it has come
        back as it was."""
        self.network.ocirt.ok("delete", "--force", "c1")
        end = time.monotonic() + LIMIT
        while (names := names_in(self.network.pid)) not in (["eth7", "lo", "peer7"], ["lo"]):
            assert not cut_off and time.monotonic() < end, names  # a namespace ends some time after its last process
            time.sleep(0.01)
        assert "eth7" in names or not cut_off
        if "eth7" in names:
            assert self.device() == (1400, "02:00:00:00:00:07", "10.1.2.3", True)
        self.plug()

    def device(self):
        text = subprocess.run(
            ["nsenter", f"--net=/proc/{self.network.pid}/ns/net", "ip", "-j", "addr", "show", "eth7"],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        ).stdout
        link = json.loads(text)[0]
        return (
            link["mtu"],
            link["address"],
            next(each["local"] for each in link["addr_info"] if each["family"] == "inet"),
            "UP" in link["flags"],
        )

    def prepare(self, verb):
        if verb != "create":
            self.network.ocirt.ok(*self.create)
        if verb in ("exec", "delete"):
            self.network.ocirt.ok("start", "c1")

    def words(self, verb):
        return {
            "create": self.create,
            "start": ("start", "c1"),
            "exec": ("exec", "c1", "true"),
            "delete": ("delete", "--force", "c1"),
        }[verb]


@pytest.mark.parametrize("verb", ["create", "start", "exec", "delete"])
def test_killed_after_each_step(network, bundle, place, tmp_path, verb):
    case = Case(network, bundle, place, tmp_path)
    case.prepare(verb)
    count = steps_of(network.faulty, tmp_path, *case.words(verb))
    case.clear()
    assert count >= {"create": 70, "start": 2, "exec": 20, "delete": 3}[verb]
    killed, stride = 0, min(STRIDE, max(1, count // 4))
    for step in range(1 + count % stride, count + 1, stride):
        case.prepare(verb)
        result = fault(network.faulty, verb, step, "kill", *case.words(verb))
        assert result.status in (-signal.SIGKILL, 0), (step, result)
        killed += result.status != 0
        if verb == "exec":
            assert network.ocirt.status("c1") == "running"
        case.clear(cut_off=network.ocirt("state", "c1").status == 0 and cut_off(network))
        assert case.clean.found() == [], f"after step {step}"
        network.ocirt.ok(*case.create)
        case.clear()
        assert case.clean.found() == [], f"after step {step}, again"
    assert killed >= count // stride - 3


def cut_off(network):
    """Whether the container is one whose create has not come to its end, by the journal (docs/architecture.md)."""
    return (Path(network.ocirt.root) / "c1/journal").read_bytes()[12:16] == b"\1\0\0\0"


def test_a_device_in_a_joined_namespace(network, bundle, place, tmp_path):
    """It comes back from there, too, if create is killed; once the container is created it stays, which the spec demands."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "600"], stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + LIMIT
        while Path(f"/proc/{holder.pid}/comm").read_text() != "sleep\n":
            assert time.monotonic() < end
            time.sleep(0.005)
        words = ("create", "--rootfs-annotations", "--bundle", bundle, "c1")
        bundle.namespace("network", f"/proc/{holder.pid}/ns/net").save()
        subprocess.run(
            ["nsenter", f"--net=/proc/{network.pid}/ns/net", "ip", "-batch", "-"],
            input=DEVICE,
            text=True,
            timeout=LIMIT,
            check=True,
        )
        count, back = steps_of(network.faulty, tmp_path, *words), 0
        network.ocirt.ok("delete", "--force", "c1")
        for step in range(count // 2, count + 1, 2 * STRIDE):
            if "inside" in names_in(holder.pid):
                subprocess.run(
                    [
                        "nsenter",
                        f"--net=/proc/{holder.pid}/ns/net",
                        "ip",
                        "link",
                        "set",
                        "inside",
                        "netns",
                        str(network.pid),
                        "name",
                        "eth7",
                    ],
                    check=True,
                    timeout=LIMIT,
                )
            fault(network.faulty, "create", step, "kill", *words)
            killed_early = cut_off(network)
            network.ocirt.ok("delete", "--force", "c1")
            assert ("eth7" in names_in(network.pid)) == killed_early and (
                "inside" in names_in(holder.pid)
            ) != killed_early, step
            back += killed_early
        assert back
    finally:
        holder.kill()
        holder.wait(LIMIT)
