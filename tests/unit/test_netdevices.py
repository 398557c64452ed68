"""linux.netDevices (config-linux.md, Network Devices) to steps: names, and where in the program they move."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ocirt.errors import ConfigError, HostError
from ocirt.packages import command_for
from tests.unit.plans import config, names, no_cgroups, plan, steps, values

TREE = Path(__file__).parents[2]


def devices(found, spaces=({"type": "network"},), **more):
    return config(linux__netDevices=found, linux__namespaces=[{"type": "mount"}, *spaces], **more)


def moved(found, **more):
    (step,) = steps(plan(devices(found, **more)), "host", "RunHelper")
    assert step.helper == "netdevices"
    return json.loads(step.data)


def test_names():
    assert moved(
        {"eth0": {}, "eth1": {"name": "inner"}, "eth2": {"name": "net%d"}, "eth3": {"name": ""}, "a-b": {}}
    ) == [
        {"at": "linux.netDevices.eth0", "name": "eth0", "to": "eth0"},
        {"at": "linux.netDevices.eth1", "name": "eth1", "to": "inner"},
        {"at": "linux.netDevices.eth2", "name": "eth2", "to": "net%d"},
        {"at": "linux.netDevices.eth3", "name": "eth3", "to": "eth3"},
        {"at": 'linux.netDevices["a-b"]', "name": "a-b", "to": "a-b"},
    ]


def test_place():
    """After the mounts, before the hooks, and before kernel parameters of a device could be set."""
    made = plan(
        devices(
            {"eth0": {}},
            hooks={"createRuntime": [{"path": "/hook"}]},
            linux__sysctl={"net.ipv4.conf.eth0.forwarding": "1"},
        )
    )
    host, init = names(made, "host"), names(made, "init")
    at = host.index("OpenInitNamespace")
    assert host[at - 1 : at + 4] == ["Receive", "OpenInitNamespace", "RunHelper", "RunHook", "Send"]
    assert init[init.index("Send") + 1] == "Receive"
    assert init.index("Send") < init.index("PivotRoot") < init.index("WriteProc")
    (opened,), (helper,) = steps(made, "host", "OpenInitNamespace"), steps(made, "host", "RunHelper")
    assert values(opened) == {"fd": helper.network, "file": "net"} and helper.record != helper.network


def test_without_hooks_the_runtime_waits_too():
    made = plan(devices({"eth0": {}}))
    assert names(made, "init").count("Send") == 2 and names(made, "host").count("Receive") == 2


def test_nothing_in_delete():
    """Network Devices: the runtime MUST NOT attempt to move the interface out of the namespace before deletion."""
    assert names(plan(devices({"eth0": {}})), "delete") == names(plan(config()), "delete")


def test_a_joined_namespace_is_not_the_host_s():
    made = plan(devices({"eth0": {}}, [{"type": "network", "path": "/ns"}]))
    host = names(made, "host")
    (joined,), (helper,) = steps(made, "host", "OpenNamespace"), steps(made, "host", "RunHelper")
    assert joined.fd == helper.network and host.index("AssertNotHostNamespace") < host.index("Spawn")
    assert "OpenInitNamespace" not in host


@pytest.mark.parametrize(
    "found, path",
    [
        ({"": {}}, 'linux.netDevices[""]'),
        ({"x" * 16: {}}, "linux.netDevices." + "x" * 16),
        ({"a/b": {}}, 'linux.netDevices["a/b"]'),
        ({".": {}}, 'linux.netDevices["."]'),
        ({"a b": {}}, 'linux.netDevices["a b"]'),
        ({"a:b": {}}, 'linux.netDevices["a:b"]'),
        ({"a": {"name": ".."}}, "linux.netDevices.a.name"),
        ({"a": {"name": "é" * 8}}, "linux.netDevices.a.name"),
        ({"a": {"name": "n%"}}, "linux.netDevices.a.name"),
        ({"a": {"name": "n%s"}}, "linux.netDevices.a.name"),
        ({"a": {"name": "n%d%d"}}, "linux.netDevices.a.name"),
        ({"a": {"name": "n%d0"}}, "linux.netDevices.a.name"),
        ({"a": {"name": 1}}, "linux.netDevices.a.name"),
        ({"a": 1}, "linux.netDevices.a"),
        ({"a": {"name": "b"}, "b": {}}, "linux.netDevices.b"),
        ({"a": {"name": "c"}, "b": {"name": "c"}}, "linux.netDevices.b.name"),
    ],
)
def test_wrong_names(found, path):
    with pytest.raises(ConfigError) as caught:
        plan(devices(found))
    assert str(caught.value).startswith(f"config.json: {path}: ")


def test_two_templates_are_two_names():
    assert len(moved({"a": {"name": "n%d"}, "b": {"name": "n%d"}})) == 2


def test_a_network_namespace_is_needed():
    with pytest.raises(ConfigError, match="linux.netDevices: .* network namespace"):
        plan(devices({"eth0": {}}, ()))
    assert names(plan(devices({}, ())), "host") == names(plan(config()), "host")


def test_root_is_needed():
    mapping = [{"containerID": 0, "hostID": 1000, "size": 1}]
    members = devices(
        {"eth0": {}}, [{"type": "network"}, {"type": "user"}], linux__uidMappings=mapping, linux__gidMappings=mapping
    )
    with pytest.raises(HostError, match="linux.netDevices: only root"):
        plan(members, on=no_cgroups(euid=1000, egid=1000))


def test_a_missing_package_names_the_command():
    program = (
        f"import sys; sys.path.insert(0, {str(TREE)!r})\nfrom ocirt.helpers import need\nfrom ocirt.errors import OcirtError\n"
        "try: need('no_such_package', 'linux.netDevices')\nexcept OcirtError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert (
        done.stdout
        == f"linux.netDevices: the Python package no_such_package is missing; run: {command_for('no_such_package')}\n"
    )
