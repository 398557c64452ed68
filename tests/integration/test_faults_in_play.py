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
    bundle.config["annotations"] = {"org.ocirt.rootfs.lower": str(layer), "org.ocirt.rootfs.upper": str(upper), "org.ocirt.rootfs.work": str(work)}
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
        self.create = ("create", "--bundle", bundle, "c1")
        self.plug()
        for _ in range(2):  # caches fill, and the overlay makes what it needs in its directories
            network.ocirt.ok(*self.create)
            network.ocirt.ok("start", "c1")
            self.clear()
        self.clean = Leftovers(network.ocirt, bundle.path, place)

    def plug(self):
        """The device, anew where it has gone with a container."""
        if "eth7" not in names_in(self.network.pid):
            subprocess.run(["nsenter", f"--net=/proc/{self.network.pid}/ns/net", "ip", "-batch", "-"], input=DEVICE, text=True, timeout=LIMIT, check=True)

    def clear(self):
        """`delete --force`; the devices, which are there as they were or have gone with the namespace, the peer too."""
        self.network.ocirt.ok("delete", "--force", "c1")
        end = time.monotonic() + LIMIT
        while (names := names_in(self.network.pid)) not in (["eth7", "lo", "peer7"], ["lo"]):
            assert time.monotonic() < end, names  # a namespace ends some time after its last process
            time.sleep(0.01)
        if "eth7" in names:
            assert self.device() == (1400, "02:00:00:00:00:07", "10.1.2.3", True)
        self.plug()

    def device(self):
        text = subprocess.run(["nsenter", f"--net=/proc/{self.network.pid}/ns/net", "ip", "-j", "addr", "show", "eth7"], capture_output=True, text=True,
                              timeout=LIMIT, check=True).stdout
        link = json.loads(text)[0]
        return link["mtu"], link["address"], next(each["local"] for each in link["addr_info"] if each["family"] == "inet"), "UP" in link["flags"]

    def prepare(self, verb):
        if verb != "create":
            self.network.ocirt.ok(*self.create)
        if verb in ("exec", "delete"):
            self.network.ocirt.ok("start", "c1")

    def words(self, verb):
        return {"create": self.create, "start": ("start", "c1"), "exec": ("exec", "c1", "true"), "delete": ("delete", "--force", "c1")}[verb]


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
        case.clear()
        assert case.clean.found() == [], f"after step {step}"
        network.ocirt.ok(*case.create)
        case.clear()
        assert case.clean.found() == [], f"after step {step}, again"
    assert killed >= count // stride - 3


def test_a_device_in_a_joined_namespace(network, bundle, place, tmp_path):
    """A create that was killed has moved the device to where the config wants it or not yet; delete --force leaves it there:
    whose namespace it is, nobody knows any more. The same create finds it again only once it has been moved back."""
    other = Network(network.ocirt.root)
    try:
        bundle.namespace("network", f"/proc/{other.pid}/ns/net").save()
        case = Case(network, bundle, place, tmp_path)
    finally:
        other.holder.kill()
        other.holder.wait(LIMIT)
