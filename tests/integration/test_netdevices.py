"""config-linux.md, Network Devices: devices of the runtime's network namespace, which is one that the test has made."""

import json
import shutil
import subprocess
import sys
import sysconfig
import time

import pytest

from tests.integration.harness import LIMIT, Runtime, built
from tests.integration.test_faults import steps_of

MAC = "02:00:00:00:00:07"


def ip(pid, *words):
    """ip(8) in the network namespace of a process; where it prints JSON, that."""
    done = subprocess.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", *words],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    return json.loads(done.stdout or "[]") if words[0] == "-j" else done.stdout


def device(pid, name):
    """A network device, or None, with its addresses as (address, length) by scope."""
    for link in ip(pid, "-j", "addr"):
        if link["ifname"] == name:
            link["by_scope"] = {}
            for each in link["addr_info"]:
                link["by_scope"].setdefault(each["scope"], []).append((each["local"], each["prefixlen"]))
            return link
    return None


def names_in(pid):
    return sorted(link["ifname"] for link in ip(pid, "-j", "link"))


class Network:
    """A network namespace held by a process, and the runtime in it."""

    def __init__(self, root):
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "600"], stdin=subprocess.DEVNULL)
        self.pid = self.holder.pid
        while (
            subprocess.run(["readlink", f"/proc/{self.pid}/exe"], capture_output=True, text=True)
            .stdout.strip()
            .endswith("unshare")
        ):
            time.sleep(0.005)
        self.ocirt, self.faulty = [self.runtime(built(folder), root) for folder in ("bin", "fault/bin")]

    def runtime(self, executable, root):
        pid = self.pid

        class Inside(Runtime):
            def command(self, *words, options=()):
                return ["nsenter", f"--net=/proc/{pid}/ns/net", *super().command(*words, options=options)]

        return Inside(executable, root)

    def make(self, name, *settings):
        """A veth pair of ``name`` and its peer, with addresses of every kind."""
        ip(self.pid, "link", "add", name, "address", MAC, "mtu", "1400", "type", "veth", "peer", "name", f"peer-{name}")
        for words in (
            ("10.1.2.3/24", "broadcast", "10.1.2.255"),
            ("10.9.9.1", "peer", "10.9.9.2/32"),
            ("10.1.2.4/24", "label", f"{name}:1"),
            ("fd00::1/64", "nodad"),
            ("169.254.1.1/16", "scope", "link"),
            ("127.9.9.9/32", "scope", "host"),
            ("10.5.5.5/24", "valid_lft", "1000", "preferred_lft", "1000"),
        ):
            ip(self.pid, "addr", "add", *words, "dev", name)
        ip(self.pid, "link", "set", name, *(settings or ("up",)))


GLOBAL = {("10.1.2.3", 24), ("10.9.9.1", 32), ("10.1.2.4", 24), ("fd00::1", 64)}


@pytest.fixture
def network(ocirt):
    made = Network(ocirt.root)
    yield made
    for name in ocirt.ids():
        made.ocirt("delete", "--force", name)
    made.holder.kill()
    made.holder.wait(10)


@pytest.fixture
def moving(bundle):
    """Has the bundle's container take devices."""

    def change(**devices):
        bundle.namespace("network")
        bundle.config["linux"]["netDevices"] = devices
        return bundle.save()

    return change


def container(network):
    return network.ocirt.state("c1")["pid"]


def is_as_it_was(network, name, up=True):
    found = device(network.pid, name)
    assert set(found["by_scope"]["global"]) >= GLOBAL and found["mtu"] == 1400 and found["address"] == MAC
    assert ("UP" in found["flags"]) == up
    return True


@pytest.mark.parametrize("settings", ["up", "down"])
def test_a_device_with_a_new_name(network, moving, bundle, settings):
    """It keeps its attributes and its permanent addresses of global scope of any family, and is set up."""
    network.make("eth7", settings)
    moving(eth7={"name": "inside"})
    network.ocirt.ok("create", "--bundle", bundle, "c1")
    found = device(container(network), "inside")
    assert device(network.pid, "eth7") is None and names_in(container(network)) == ["inside", "lo"]
    assert set(found["by_scope"]["global"]) == GLOBAL and not found["by_scope"].get("host")
    assert [each for each in found["by_scope"].get("link", []) if each[0].startswith("169.")] == []
    assert "UP" in found["flags"] and found["mtu"] == 1400 and found["address"] == MAC
    by_address = {each["local"]: each for each in found["addr_info"]}
    assert by_address["10.1.2.3"]["broadcast"] == "10.1.2.255" and by_address["10.9.9.1"]["address"] == "10.9.9.2"
    assert {each["label"] for each in found["addr_info"] if each["family"] == "inet"} == {"inside"}
    assert by_address["fd00::1"]["valid_life_time"] == 4294967295
    network.ocirt.ok("start", "c1")


def test_a_device_with_its_own_name(network, moving, bundle):
    network.make("eth7")
    moving(eth7={})
    network.ocirt.ok("create", "--bundle", bundle, "c1")
    found = device(container(network), "eth7")
    assert set(found["by_scope"]["global"]) == GLOBAL
    assert {each["label"] for each in found["addr_info"] if each["family"] == "inet"} == {"eth7", "eth7:1"}


def test_templates(network, moving, bundle):
    """``%d`` at the end: the kernel makes the name."""
    network.make("eth7")
    network.make("eth8")
    moving(eth7={"name": "net%d"}, eth8={"name": "net%d"})
    network.ocirt.ok("create", "--bundle", bundle, "c1")
    assert names_in(container(network)) == ["lo", "net0", "net1"]
    assert set(device(container(network), "net1")["by_scope"]["global"]) == GLOBAL


def test_user_namespace(network, moving, bundle):
    network.make("eth7")
    bundle.namespace("user")
    mappings = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    bundle.config["linux"].update(uidMappings=mappings, gidMappings=mappings)
    for parent in [bundle.path, *list(bundle.path.parents)[:-2]]:
        parent.chmod(parent.stat().st_mode | 0o055)
    moving(eth7={"name": "inside"})
    network.ocirt.ok("create", "--bundle", bundle, "c1")
    assert set(device(container(network), "inside")["by_scope"]["global"]) == GLOBAL


def test_before_hooks_and_kernel_parameters(network, moving, bundle, tmp_path):
    network.make("eth7")
    out = tmp_path / "out"
    ask = {"path": "/bin/sh", "args": ["sh", "-c", f"cat /proc/net/dev >{out}"]}
    bundle.config["hooks"] = {
        "createRuntime": [ask],
        "createContainer": [{**ask, "args": ["sh", "-c", f"cat /proc/self/net/dev >{out}.2"]}],
    }
    bundle.config["linux"]["sysctl"] = {"net.ipv4.conf.inside.rp_filter": "2"}
    bundle.shell("cat /proc/sys/net/ipv4/conf/inside/rp_filter")
    moving(eth7={"name": "inside"})
    result = network.ocirt.ok("run", "--bundle", bundle, "c1")
    assert (
        result.out.split() == ["2"]
        and " eth7:" not in out.read_text()
        and "inside:" in (tmp_path / "out.2").read_text()
    )


@pytest.fixture
def other():
    """Another network namespace, of somebody else."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "600"], stdin=subprocess.DEVNULL)
    while (
        subprocess.run(["readlink", f"/proc/{holder.pid}/exe"], capture_output=True, text=True)
        .stdout.strip()
        .endswith("unshare")
    ):
        time.sleep(0.005)
    yield holder.pid
    holder.kill()
    holder.wait(10)


def test_a_joined_namespace_keeps_the_device(network, moving, bundle, other):
    """The runtime MUST NOT attempt to move the interface out of the namespace before deletion: it stays there."""
    network.make("eth7")
    moving(eth7={"name": "inside"})
    bundle.namespace("network", f"/proc/{other}/ns/net").save()
    network.ocirt.ok("create", "--bundle", bundle, "c1")
    assert names_in(other) == ["inside", "lo"]
    network.ocirt.ok("delete", "--force", "c1")
    assert set(device(other, "inside")["by_scope"]["global"]) == GLOBAL and device(network.pid, "eth7") is None


@pytest.mark.parametrize("to", [{}, {"name": "eth1"}])
def test_a_name_that_is_taken(network, moving, bundle, other, to):
    """If a network device with the specified name already exists in the container namespace, an error; nothing has moved."""
    network.make("eth7")
    ip(other, "link", "add", to.get("name", "eth7"), "type", "veth", "peer", "name", "x")
    moving(eth7=to)
    bundle.namespace("network", f"/proc/{other}/ns/net").save()
    message = network.ocirt.fails("create", "--bundle", bundle, "c1")
    assert (
        f"linux.netDevices.eth7: a network device {to.get('name', 'eth7')} is in the container's network namespace already"
        in message
    )
    assert (
        is_as_it_was(network, "eth7")
        and network.ocirt.ids() == []
        and names_in(other) == sorted(["lo", "x", to.get("name", "eth7")])
    )


@pytest.mark.parametrize("settings", ["up", "down"])
def test_all_or_none(network, moving, bundle, settings):
    network.make("eth7", settings)
    moving(eth7={"name": "inside"}, eth9={})
    message = network.ocirt.fails("create", "--bundle", bundle, "c1")
    assert "linux.netDevices.eth9: found no network device eth9" in message
    assert is_as_it_was(network, "eth7", settings == "up") and network.ocirt.ids() == []


def test_what_cannot_move(network, moving, bundle):
    moving(lo={"name": "other"})
    message = network.ocirt.fails("create", "--bundle", bundle, "c1")
    assert "linux.netDevices.lo: move the network device lo: " in message and network.ocirt.ids() == []


def test_the_runtime_s_own_namespace(network, moving, bundle):
    network.make("eth7")
    moving(eth7={})
    bundle.namespace("network", f"/proc/{network.pid}/ns/net").save()
    assert "linux.netDevices: " in network.ocirt.fails("create", "--bundle", bundle, "c1")
    assert is_as_it_was(network, "eth7")


def test_the_package_is_missing(network, moving, bundle, tmp_path):
    """An interpreter without pyroute2: one line with the command that installs it, and nothing has happened."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=LIMIT)
    (tmp_path / "bin").mkdir()
    shutil.copy(built("bin"), tmp_path / "bin")
    script = built("bin").with_name("ocirt-python").read_text().splitlines()
    script[0] = f"#!{tmp_path}/venv/bin/python"
    script = "\n".join(script).replace(sysconfig.get_path("purelib"), str(tmp_path / "venv"))
    (tmp_path / "bin/ocirt-python").write_text(script)
    (tmp_path / "bin/ocirt-python").chmod(0o755)
    network.make("eth7")
    moving(eth7={})
    message = network.runtime(tmp_path / "bin/ocirt", network.ocirt.root).fails("create", "--bundle", bundle, "c1")
    assert "linux.netDevices: the Python package pyroute2 is missing; run: " in message
    assert is_as_it_was(network, "eth7") and network.ocirt.ids() == []


@pytest.mark.parametrize("settings", ["up", "down"])
@pytest.mark.parametrize("hook", ["createRuntime", "createContainer"])
def test_a_create_that_fails_later(network, moving, bundle, hook, settings):
    """What it has moved is given back, out of a namespace that nobody else has."""
    network.make("eth7", settings)
    network.make("eth8", settings)
    bundle.config["hooks"] = {hook: [{"path": "/bin/sh", "args": ["sh", "-c", "cat /proc/self/net/dev; exit 1"]}]}
    moving(eth7={"name": "inside"}, eth8={"name": "more%d"})
    message = network.ocirt.fails("create", "--bundle", bundle, "c1")
    assert f"hooks.{hook}[0]" in message and network.ocirt.ids() == []
    assert is_as_it_was(network, "eth7", settings == "up") and is_as_it_was(network, "eth8", settings == "up")
    labels = {
        each["label"]
        for each in device(network.pid, "eth7")["addr_info"]
        if each["family"] == "inet" and each["scope"] == "global"
    }
    assert labels == {"eth7", "eth7:1"}


def test_killed_after_each_step(network, moving, bundle, tmp_path):
    """Wherever the runtime is killed, delete --force removes the container; a device that a create which was cut off had taken
    is given back, one of a container that was created goes with the namespace."""
    network.make("eth0")
    moving(eth0={})
    count = steps_of(network.faulty, tmp_path, "create", "--bundle", bundle, "c1")
    network.ocirt.ok("delete", "--force", "c1")
    for step in range(count // 2, count + 1, 4):
        network.make(f"eth{step}")
        moving(**{f"eth{step}": {}})
        network.faulty.environment = {"OCIRT_FAULT": f"create:{step}:kill"}
        network.faulty("create", "--bundle", bundle, "c1")
        network.ocirt.ok("delete", "--force", "c1")
        assert network.ocirt.ids() == [], f"after step {step}"
        end = time.monotonic() + 10
        while device(network.pid, f"peer-eth{step}") and not device(
            network.pid, f"eth{step}"
        ):  # the namespace ends later
            assert time.monotonic() < end, f"after step {step}"
            time.sleep(0.01)
        if device(network.pid, f"eth{step}"):
            assert is_as_it_was(network, f"eth{step}")
