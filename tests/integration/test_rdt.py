"""config-linux.md, IntelRdt, on a resctrl file system of the tests' own (tests/integration/resctrl.py)."""

import os
import subprocess

import pytest

from tests.integration.harness import Runtime, built
from tests.integration.resctrl import Resctrl
from tests.integration.test_faults import steps_of

LAYOUT = """
mkdir {at}/cgroup && mount --rbind /sys/fs/cgroup {at}/cgroup && mount -t tmpfs -o mode=755 none /sys/fs &&
mkdir /sys/fs/cgroup /sys/fs/resctrl && mount --move {at}/cgroup /sys/fs/cgroup && mount --bind {at}/resctrl /sys/fs/resctrl &&
echo ready && exec sleep 600
"""
"""A mount namespace whose /sys/fs has the cgroups as ever, and resctrl besides."""


class Host:
    """The runtime in a mount namespace with resctrl."""

    def __init__(self, tmp_path, root):
        (tmp_path / "resctrl").mkdir()
        self.resctrl = Resctrl(tmp_path / "resctrl")
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", LAYOUT.format(at=tmp_path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout.readline() == "ready\n"
        self.ocirt, self.faulty = [self.runtime(built(folder), root) for folder in ("bin", "fault/bin")]

    def runtime(self, executable, root):
        pid = self.holder.pid

        class Inside(Runtime):
            def command(self, *words, options=()):
                return ["nsenter", f"--mount=/proc/{pid}/ns/mnt", *super().command(*words, options=options)]

        return Inside(executable, root)


@pytest.fixture
def host(tmp_path, ocirt):
    made = Host(tmp_path, ocirt.root)
    yield made
    for name in ocirt.ids():
        made.ocirt("delete", "--force", name)
    made.holder.kill()
    made.holder.wait(10)
    made.resctrl.close()


@pytest.fixture
def rdt(bundle):
    def change(**properties):
        bundle.config["linux"]["intelRdt"] = properties
        return bundle.save()

    return change


def pid(host, name="c1"):
    return host.ocirt.state(name)["pid"]


def test_a_group_of_its_own(host, rdt, bundle):
    """Without closID: the container's id, made at create and removed at delete; l3CacheSchema first, schemata last."""
    rdt(memBwSchema="MB:0=20;1=70", l3CacheSchema="L3:0=7f0;1=1f", schemata=["L3:0=3", "MB:1=10"])
    host.ocirt.ok("create", "--bundle", bundle, "c1")
    assert host.resctrl.log == [
        ("make", "c1"),
        ("c1/schemata", "L3:0=7f0;1=1f\n"),
        ("c1/schemata", "MB:0=20;1=70\n"),
        ("c1/schemata", "L3:0=3\n"),
        ("c1/schemata", "MB:1=10\n"),
        ("c1/tasks", str(pid(host))),
    ]
    assert host.resctrl.groups["c1"] == {"L3": {0: "3", 1: "1f"}, "MB": {0: "20", 1: "10"}}
    host.ocirt.ok("start", "c1")
    host.ocirt.ok("delete", "--force", "c1")
    assert list(host.resctrl.groups) == [""] and host.resctrl.log[-1] == ("remove", "c1")


def test_nothing_but_set(host, rdt, bundle):
    """Without any schema the file schemata MUST NOT be written."""
    rdt()
    host.ocirt.ok("create", "--bundle", bundle, "c1")
    assert host.resctrl.log == [("make", "c1"), ("c1/tasks", str(pid(host)))]


def test_not_set(host, bundle):
    """If intelRdt is not set, the runtime MUST NOT manipulate any resctrl pseudo-filesystems."""
    host.ocirt.ok("create", "--bundle", bundle, "c1")
    assert host.resctrl.log == []


def test_a_named_group_is_made_and_stays(host, rdt, bundle):
    """closID with a schema: made where it is missing, used where it is there with the same, never removed."""
    rdt(closID="gold", schemata=["L3:0=f"], l3CacheSchema="L3:1=3")
    host.ocirt.ok("create", "--bundle", bundle, "c1")
    host.ocirt.ok("delete", "--force", "c1")
    assert host.resctrl.log[0] == ("make", "gold") and list(host.resctrl.groups) == ["", "gold"]
    host.ocirt.ok("create", "--bundle", bundle, "c1")
    assert host.resctrl.tasks[pid(host)] == ("gold", "")
    host.ocirt.ok("delete", "--force", "c1")
    assert list(host.resctrl.groups) == ["", "gold"]


@pytest.mark.parametrize(
    "schema, agrees",
    [
        ({"l3CacheSchema": "L3:0=7f0;1=1f"}, True),
        ({"l3CacheSchema": "L3:1=01F;0=07f0"}, True),
        ({"l3CacheSchema": "L3:1=1f"}, True),
        ({"memBwSchema": "MB:0=20;1=70"}, True),
        ({"l3CacheSchema": "L3:0=7f0", "memBwSchema": "MB:1=70"}, True),
        ({"l3CacheSchema": "L3:0=7f1;1=1f"}, False),
        ({"memBwSchema": "MB:0=20;1=71"}, False),
        ({"l3CacheSchema": "L3:2=1f"}, False),
        ({"l3CacheSchema": "L2:0=7f0"}, False),
        ({"l3CacheSchema": "L3:0=7f0", "memBwSchema": "MB:0=30"}, False),
        ({"schemata": ["L3:0=1"]}, True),
    ],
)
def test_a_named_group_that_is_there(host, rdt, bundle, schema, agrees):
    """l3CacheSchema and memBwSchema are compared with the file schemata; schemata is written."""
    host.resctrl.groups["gold"] = {"L3": {0: "7f0", 1: "1f"}, "MB": {0: "20", 1: "70"}}
    before = {name: dict(domains) for name, domains in host.resctrl.groups["gold"].items()}
    rdt(closID="gold", **schema)
    if agrees:
        host.ocirt.ok("create", "--bundle", bundle, "c1")
        if "schemata" in schema:
            before["L3"][0] = "1"
    else:
        message = host.ocirt.fails("create", "--bundle", bundle, "c1")
        assert "with another schema" in message and f"linux.intelRdt.{list(schema)[-1]}: " in message
        assert host.ocirt.ids() == []
    assert host.resctrl.groups["gold"] == before


def test_a_named_group_without_schemas_must_be_there(host, rdt, bundle):
    rdt(closID="gold")
    message = host.ocirt.fails("create", "--bundle", bundle, "c1")
    assert (
        "linux.intelRdt.closID: " in message
        and "no such file" in message
        and host.ocirt.ids() == []
        and host.resctrl.log == []
    )
    host.resctrl.groups["gold"] = {"L3": {0: "1"}}
    host.ocirt.ok("create", "--bundle", bundle, "c1")
    assert host.resctrl.log == [("gold/tasks", str(pid(host)))]


def test_the_default_group(host, rdt, bundle):
    """closID /: the root of the file system."""
    rdt(closID="/", enableMonitoring=True)
    host.ocirt.ok("create", "--bundle", bundle, "c1")
    one = str(pid(host))
    assert host.resctrl.log == [("make", "mon_groups/c1"), ("tasks", one), ("mon_groups/c1/tasks", one)]
    host.ocirt.ok("delete", "--force", "c1")
    assert list(host.resctrl.groups) == [""]


@pytest.mark.parametrize("group", [{}, {"closID": "gold", "schemata": ["MB:0=50"]}])
def test_monitoring(host, rdt, bundle, group):
    """enableMonitoring: a MON group of the container's id, removed with it."""
    name = group.get("closID", "c1")
    rdt(enableMonitoring=True, **group)
    host.ocirt.ok("create", "--bundle", bundle, "c1")
    assert host.resctrl.tasks[pid(host)] == (name, f"{name}/mon_groups/c1")
    host.ocirt.ok("delete", "--force", "c1")
    assert list(host.resctrl.groups) == (["", "gold"] if group else [""])


def test_no_room_for_a_monitoring_group(host, rdt, bundle):
    """If creation of the MON group fails the runtime MUST return an error; what was made goes."""
    host.resctrl.limit = 2
    rdt(enableMonitoring=True)
    message = host.ocirt.fails("create", "--bundle", bundle, "c1")
    assert (
        "linux.intelRdt.enableMonitoring: make the resctrl group /sys/fs/resctrl/c1/mon_groups/c1: mkdir: no space left"
        in message
    )
    assert "Out of CLOSIDs" in message and list(host.resctrl.groups) == [""] and host.ocirt.ids() == []


@pytest.mark.parametrize("group", [{}, {"closID": "gold"}])
def test_a_schema_that_is_none(host, rdt, bundle, group):
    """A create that fails takes the group away that it has made, also one with a name."""
    rdt(schemata=["L3:0=f", "XX:0=1"], **group)
    message = host.ocirt.fails("create", "--bundle", bundle, "c1")
    assert (
        "linux.intelRdt.schemata[1]: write XX:0=1 to /sys/fs/resctrl/" in message
        and "Unknown or unsupported resource name" in message
    )
    assert list(host.resctrl.groups) == [""] and host.ocirt.ids() == []


def test_a_named_group_in_use_stays(host, rdt, bundle):
    """A process has come into a group that a failing create made: it keeps it."""
    rdt(closID="gold", schemata=["L3:0=f"])
    sleeper = subprocess.Popen(["sleep", "60"])
    bundle.config["hooks"] = {
        "createRuntime": [
            {"path": "/bin/sh", "args": ["sh", "-c", f"echo {sleeper.pid} >/sys/fs/resctrl/gold/tasks; exit 1"]}
        ]
    }
    bundle.save()
    try:
        host.ocirt.fails("create", "--bundle", bundle, "c1")
        assert list(host.resctrl.groups) == ["", "gold"] and host.ocirt.ids() == []
    finally:
        sleeper.kill()
        sleeper.wait(10)


def test_a_group_that_was_there_stays(host, rdt, bundle):
    """If the runtime has not created the sub-directory, it MUST NOT remove it."""
    host.resctrl.groups["c1"] = {"L3": {0: "1"}}
    rdt()
    host.ocirt.ok("create", "--bundle", bundle, "c1")
    host.ocirt.ok("delete", "--force", "c1")
    assert list(host.resctrl.groups) == ["", "c1"]


def test_killed_after_each_step(host, rdt, bundle, tmp_path):
    rdt(enableMonitoring=True, schemata=["L3:0=f"])
    count = steps_of(host.faulty, tmp_path, "create", "--bundle", bundle, "c1")
    host.ocirt.ok("delete", "--force", "c1")
    for step in range(1, count + 1, 3):
        host.faulty.environment = {"OCIRT_FAULT": f"create:{step}:kill"}
        host.faulty("create", "--bundle", bundle, "c1")
        host.ocirt.ok("delete", "--force", "c1")
        assert list(host.resctrl.groups) == [""] and host.ocirt.ids() == [], f"after step {step}"


def test_no_resctrl(ocirt, rdt, bundle):
    """If no mounted resctrl pseudo-filesystem is available, the runtime MUST generate an error."""
    if os.path.exists("/sys/fs/resctrl/tasks"):
        pytest.skip("this machine has resctrl")
    rdt(closID="gold")
    assert "linux.intelRdt: no resctrl file system is mounted" in ocirt.fails("create", "--bundle", bundle, "c1")
    assert ocirt.ids() == []
