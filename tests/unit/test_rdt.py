"""linux.intelRdt (config-linux.md, IntelRdt) to steps."""

import json

import pytest

from ocirt.errors import ConfigError, HostError
from ocirt.helpers.resctrl import agrees
from ocirt.model.host import mounted
from tests.unit.plans import config, names, no_cgroups, plan, shown

ROOT = "/res"


def compiled(**properties):
    return plan(config(linux__intelRdt=properties), on=no_cgroups(resctrl=ROOT))


def kinds(made, section="host"):
    return [
        (name, {key: value for key, value in fields.items() if key != "root"})
        for name, fields in shown(made, section)
        if "Resctrl" in name
    ]


def test_a_group_of_its_own():
    made = compiled(memBwSchema="MB:0=20", l3CacheSchema="L3:0=f", schemata=["L2:0=1"], enableMonitoring=True)
    assert kinds(made) == [
        ("MakeResctrlGroup", {"path": "c1", "make": 1}),
        ("WriteResctrlSchema", {"path": "c1", "value": "L3:0=f"}),
        ("WriteResctrlSchema", {"path": "c1", "value": "MB:0=20"}),
        ("WriteResctrlSchema", {"path": "c1", "value": "L2:0=1"}),
        ("MakeResctrlGroup", {"path": "c1/mon_groups/c1", "make": 1}),
        ("JoinResctrlGroup", {"path": "c1"}),
        ("JoinResctrlGroup", {"path": "c1/mon_groups/c1"}),
    ]
    assert kinds(made, "delete") == [
        ("RemoveResctrlGroup", {"path": "c1/mon_groups/c1", "keep": 0}),
        ("RemoveResctrlGroup", {"path": "c1", "keep": 0}),
    ]
    assert [fields["root"] for name, fields in shown(made, "host") if "Resctrl" in name] == [ROOT] * 7
    host, delete = names(made, "host"), names(made, "delete")
    assert host.index("WriteResctrlSchema") < host.index("Spawn") < host.index("JoinResctrlGroup")
    assert delete.index("KillInit") < delete.index("RemoveResctrlGroup")


@pytest.mark.parametrize(
    "properties, path, make",
    [
        ({}, "c1", 1),
        ({"closID": ""}, "c1", 1),
        ({"closID": "gold"}, "gold", 0),
        ({"closID": "gold", "schemata": []}, "gold", 0),
        ({"closID": "gold", "l3CacheSchema": ""}, "gold", 0),
        ({"closID": "gold", "memBwSchema": "MB:0=1"}, "gold", 1),
        ({"closID": "/"}, ".", 0),
        ({"closID": "/", "l3CacheSchema": "L3:0=1"}, ".", 1),
    ],
)
def test_the_group(properties, path, make):
    made = compiled(**properties)
    assert kinds(made)[0] == ("MakeResctrlGroup", {"path": path, "make": make})
    assert kinds(made, "delete") == [("RemoveResctrlGroup", {"path": path, "keep": int(path != "c1")})]


def test_what_is_compared_with_a_group_that_is_there():
    made = compiled(closID="gold", memBwSchema="MB:0=20", l3CacheSchema="L3:0=f", schemata=["L2:0=1"])
    (fields,) = [fields for name, fields in shown(made, "host") if name == "RunHelper"]
    compared = ["linux.intelRdt.l3CacheSchema", "L3:0=f", "linux.intelRdt.memBwSchema", "MB:0=20"]
    assert (fields["helper"], json.loads(fields["data"])) == ("resctrl", [ROOT, "gold", *compared])
    host = names(made, "host")
    assert host.index("RunHelper") < host.index("MakeResctrlGroup")


@pytest.mark.parametrize(
    "wanted, agreed",
    [
        ("L3:0=7f0;1=1f", True),
        ("L3:1=01F;0=07f0", True),
        ("L3:1=1f;", True),
        ("MB:0=20", True),
        ("L3:0=7f1", False),
        ("L3:2=1f", False),
        ("L2:0=7f0", False),
        ("MB:0=30", False),
        ("L3:", False),
        ("L3", False),
        ("L3:0", False),
        ("L3:x=1", False),
    ],
)
def test_whether_a_group_that_exists_agrees(wanted, agreed):
    assert agrees(["    L3:0=7f0;1=1f", "    MB:0=20;1=70", ""], wanted) == agreed


def test_monitoring_of_the_default_group():
    assert ("MakeResctrlGroup", {"path": "mon_groups/c1", "make": 1}) in kinds(
        compiled(closID="/", enableMonitoring=True)
    )


@pytest.mark.parametrize(
    "properties, path",
    [
        ({"closID": ".."}, "closID"),
        ({"closID": "."}, "closID"),
        ({"closID": "a/b"}, "closID"),
        ({"closID": "//"}, "closID"),
        ({"closID": 1}, "closID"),
        ({"memBwSchema": "L3:0=1"}, "memBwSchema"),
        ({"memBwSchema": "MB:0=1\nMB:1=1"}, "memBwSchema"),
        ({"schemata": ["a\nb"]}, "schemata[0]"),
        ({"schemata": ["L3:0=1", ""]}, "schemata[1]"),
        ({"schemata": "L3"}, "schemata"),
        ({"enableMonitoring": 1}, "enableMonitoring"),
    ],
)
def test_wrong(properties, path):
    with pytest.raises(ConfigError) as caught:
        compiled(**properties)
    assert f"linux.intelRdt.{path}: " in str(caught.value)


def test_no_resctrl():
    with pytest.raises(HostError, match="linux.intelRdt: no resctrl"):
        plan(config(linux__intelRdt={}))
    assert not [name for name in names(plan(config()), "host") if "Resctrl" in name]


def test_where_it_is_mounted():
    text = "22 1 0:20 / /sys rw - sysfs sysfs rw\n30 22 0:25 / /mnt/a\\040b rw,nosuid shared:7 - resctrl none rw\n"
    assert mounted("resctrl", text) == "/mnt/a b" and mounted("xfs", text) is None
