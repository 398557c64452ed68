"""The driver that asks systemd: which unit, which properties, and the bytes of its messages, read back by jeepney."""

import json
import re
import socket

import pytest

from ocirt.cgroups import dbus
from ocirt.cgroups.choose import choose
from ocirt.cgroups.properties import bits
from ocirt.errors import ConfigError, HostError
from ocirt.model.config import parse
from ocirt.model.host import Cgroups, Host
from ocirt.model.text import Text, Trace, bound, unit_parts
from ocirt.plan import Plan
from tests.unit.plans import config, host, names, plan, request, shown, steps, v1, v2, values

jeepney = pytest.importorskip("jeepney")  # hack/test installs it


def made(path=None, on=None, words=(), **changes):
    changes |= {} if path is None else {"linux__cgroupsPath": path}
    return plan(config(**changes), on or v2(has_systemd=True), **{"systemd_cgroup": "1", **dict(words)})


def started(*args, **more):
    (step,) = steps(made(*args, **more), "host", "StartUnit")
    return step


def messages(core, items, pid=1):
    """The calls that the items make, as whoever gets them reads them."""
    data = core.calls(items, pid)
    parser = jeepney.Parser()
    parser.add_data(data)
    found = list(iter(parser.get_next_message, None))
    again = [message.serialise(serial=number) for number, message in enumerate(found, 1)]
    assert b"".join(again) == data  # byte for byte what jeepney makes of them
    return found


def called(core, step, pid=4711):
    """Unit and properties of a StartUnit, as whoever gets its call reads them."""
    *_, message = messages(core, bound(step.calls), pid)
    assert message.header.fields[jeepney.HeaderFields.member] == "StartTransientUnit"
    unit, mode, properties, others = message.body
    assert mode == "replace" and others == [] and len(dict(properties)) == len(properties)
    return unit, dict(properties)


def test_the_call(core):
    unit, properties = called(core, started("a-b.slice:p:n"))
    assert unit == "p-n.scope" and properties == {
        "Description": ("s", "ocirt container c1"),
        "Slice": ("s", "a-b.slice"),
        "Delegate": ("b", True),
        "PIDs": ("au", [4711]),
        "MemoryAccounting": ("b", True),
        "CPUAccounting": ("b", True),
        "IOAccounting": ("b", True),
        "TasksAccounting": ("b", True),
        "DefaultDependencies": ("b", False),
        "CollectMode": ("s", "inactive-or-failed"),
    }


MAX = (1 << 64) - 1


@pytest.mark.parametrize(
    "resources, expected",
    [
        ({"memory": {"limit": 5000, "reservation": 3000}}, {"MemoryMax": ("t", 5000), "MemoryLow": ("t", 3000)}),
        ({"memory": {"limit": 5000, "swap": 8000}}, {"MemoryMax": ("t", 5000), "MemorySwapMax": ("t", 3000)}),
        ({"memory": {"limit": -1}}, {"MemoryMax": ("t", MAX), "MemorySwapMax": ("t", MAX)}),
        ({"memory": {"limit": 5000, "swap": -1}}, {"MemoryMax": ("t", 5000), "MemorySwapMax": ("t", MAX)}),
        ({"memory": {"limit": 0, "swap": 0}}, {}),
        ({"cpu": {"shares": 1024}}, {"CPUWeight": ("t", 100)}),
        ({"cpu": {"shares": 1024, "idle": 1}}, {}),
        (
            {"cpu": {"quota": 15000, "period": 100000}},
            {"CPUQuotaPeriodUSec": ("t", 100000), "CPUQuotaPerSecUSec": ("t", 150000)},
        ),
        ({"cpu": {"quota": 12345}}, {"CPUQuotaPerSecUSec": ("t", 130000)}),
        ({"cpu": {"quota": -1}}, {"CPUQuotaPerSecUSec": ("t", MAX)}),
        ({"cpu": {"period": 50000}}, {"CPUQuotaPeriodUSec": ("t", 50000), "CPUQuotaPerSecUSec": ("t", MAX)}),
        (
            {"cpu": {"cpus": "0-1,9", "mems": "0"}},
            {"AllowedCPUs": ("ay", b"\3\2"), "AllowedMemoryNodes": ("ay", b"\1")},
        ),
        ({"pids": {"limit": 7}}, {"TasksMax": ("t", 7)}),
        ({"pids": {"limit": -1}}, {"TasksMax": ("t", MAX)}),
        ({"pids": {"limit": 0}}, {"TasksMax": ("t", MAX)}),
        ({"blockIO": {"weight": 10}}, {"IOWeight": ("t", 1)}),
        (
            {
                "unified": {
                    "memory.high": "max",
                    "memory.min": " 5\n",
                    "pids.max": "9",
                    "cpu.weight": "50",
                    "cpuset.cpus": "3",
                    "cpu.max": "1000 10000",
                    "io.max": "x",
                }
            },
            {
                "MemoryHigh": ("t", MAX),
                "MemoryMin": ("t", 5),
                "TasksMax": ("t", 9),
                "CPUWeight": ("t", 50),
                "AllowedCPUs": ("ay", b"\10"),
                "CPUQuotaPeriodUSec": ("t", 10000),
                "CPUQuotaPerSecUSec": ("t", 100000),
            },
        ),
        ({"unified": {"memory.max": "much", "cpu.max": "1 2 3"}}, {}),
    ],
)
def test_resources(core, resources, expected):
    step = started("a.slice:p:n", linux__resources=resources)
    plain = called(core, started("a.slice:p:n"))[1]
    assert {name: value for name, value in called(core, step)[1].items() if name not in plain} == expected


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("TimeoutStopUSec", "uint64 5", ("TimeoutStopUSec", ("t", 5))),
        ("TimeoutStopSec", "uint64 5", ("TimeoutStopUSec", ("t", 5000000))),
        ("TimeoutStopSec", "5", ("TimeoutStopUSec", ("t", 5000000))),
        ("Some", "-5", ("Some", ("i", -5))),
        ("Some", "int64 -6", ("Some", ("x", -6))),
        ("Some", "uint32 7", ("Some", ("u", 7))),
        ("Some", "byte 8", ("Some", ("y", 8))),
        ("SendSIGHUP", " true ", ("SendSIGHUP", ("b", True))),
        ("CollectMode", "'inactive'", ("CollectMode", ("s", "inactive"))),
        ("After", "[\"a\", 'b\\'c' ]", ("After", ("as", ["a", "b'c"]))),
        ("After", "[]", ("After", ("as", []))),
    ],
)
def test_annotations(core, name, value, expected):
    step = started("a.slice:p:n", annotations={f"org.systemd.property.{name}": value, "org.systemd.other": "x"})
    *_, message = messages(core, bound(step.calls))
    assert message.body[2][-1] == expected


@pytest.mark.parametrize(
    "name, value",
    [
        ("After", "[a]"),
        ("After", "['a' 'b']"),
        ("After", "['a"),
        ("Some", "uint64 -1"),
        ("Some", "int32 3000000000"),
        ("Some", "float 1"),
        ("Some", ""),
        ("Ab", "true"),
        ("A.b.c", "true"),
        ("TimeoutSec", "'x'"),
        ("Some", "'a"),
        ("Some", "'"),
    ],
)
def test_annotations_that_are_none(name, value):
    with pytest.raises(ConfigError, match=re.escape(f'annotations["org.systemd.property.{name}"]')):
        made("a.slice:p:n", annotations={f"org.systemd.property.{name}": value})


@pytest.mark.parametrize(
    "path, unit, cgroup",
    [
        ("a.slice:p:n", "p-n.scope", "/a.slice/p-n.scope"),
        ("a-b-c.slice:p:n", "p-n.scope", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"),
        ("-.slice:p:n", "p-n.scope", "/p-n.scope"),
        (":p:n", "p-n.scope", "/system.slice/p-n.scope"),
        ("a.slice::n", "n.scope", "/a.slice/n.scope"),
        (None, "ocirt-c1.scope", "/system.slice/ocirt-c1.scope"),
        ("", "ocirt-c1.scope", "/system.slice/ocirt-c1.scope"),
    ],
)
def test_units(path, unit, cgroup):
    found = made(path)
    start, waits = steps(found, "host", "StartUnit", "AwaitUnit")
    assert bound(start.unit) == bound(waits.unit) == unit
    assert bound(waits.path) == cgroup and (waits.hierarchy, waits.mark) == ("/sys/fs/cgroup", "::")
    assert ("StopUnit", values(steps(found, "delete", "StopUnit")[0])) == shown(found, "delete")[-1]
    assert bound(steps(found, "delete", "RemoveCgroup")[0].path) == cgroup


@pytest.mark.parametrize(
    "text, parts",
    [
        ("a.slice:b:c", ("a.slice", "b", "c", "/a.slice")),
        ("::c", ("", "", "c", "")),
        ("-.slice:b:c", ("-.slice", "b", "c", "")),
        ("a-b.slice:b:c", ("a-b.slice", "b", "c", "/a.slice/a-b.slice")),
        ("a.slice:b:", None),
        ("a:b:c", None),
        ("-:b:c", None),
        (".slice:b:c", None),
        ("a:b", None),
        ("a.slice:b:c:d", None),
        ("a--b.slice:b:c", None),
        ("-a.slice:b:c", None),
        ("a.slice:b/:c", None),
        ("", None),
        ("-".join("x" * 99) + ".slice:b:c", None),
    ],
)
def test_unit_parts(text, parts):
    assert unit_parts(text) == parts


def test_order():
    """The child waits for the limits before it goes on to what needs its cgroup."""
    found = made(
        "a.slice:p:n", linux__resources={"memory": {"limit": 5000}, "hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}
    )
    host = names(found, "host")
    first, last = host.index("Spawn"), host.index("Send")
    assert (
        host[first : first + 5] == ["Spawn", "AssertEmptyCgroup", "StartUnit", "AwaitUnit", "EnableControllers"]
        and set(host[first + 5 : last]) <= {"WriteCgroup", "WriteEitherCgroup"}
        and "WriteCgroup" in host[first:last]
    )
    assert names(found, "init").index("Receive") < names(found, "init").index("MakeNode")
    assert "JoinCgroup" not in names(found, "init")
    assert values(steps(found, "host", "Spawn")[0]) == {"section": "init", "flags": 0}
    staged = made("a.slice:p:n", linux__namespaces=[{"type": "mount"}, {"type": "time"}])
    assert names(staged, "stage")[-2:] == ["Receive", "Spawn"] and "Receive" not in names(staged, "init")
    assert "EnableControllers" not in names(staged, "host")


class Inside(Host):
    """A host as root of a rootless engine's user namespace."""

    def text(self, path):
        return {"/proc/self/uid_map": "         0       1000          1\n         1     100000      65536\n"}[path]


def test_manager():
    """Whom to ask: the machine's systemd, or a user's own; by its own socket, or where there is none over the bus."""

    def asked(on, changes=None, **words):
        step, waits = steps(made(":p:n", on, words, **(changes or {})), "host", "StartUnit", "AwaitUnit")
        owner = bytes.fromhex(step.greeting.split()[2]).decode()
        return step.socket, int("Hello" in bound(step.calls)), int(owner), bound(waits.path)

    assert asked(v2(has_systemd=True)) == ("/run/dbus/system_bus_socket", 1, 0, "/system.slice/p-n.scope")
    assert asked(v2(has_systemd=True, files=("/run/systemd/private",))) == (
        "/run/systemd/private",
        0,
        0,
        "/system.slice/p-n.scope",
    )
    user = v2(has_systemd=True, euid=1000, egid=1000, files=("/run/user/1000/systemd/private",))
    spaces = {
        "linux__namespaces": [{"type": "mount"}, {"type": "user"}],
        "linux__uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
        "linux__gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
    }
    assert asked(user, spaces, runtime_dir="/run/user/1000") == (
        "/run/user/1000/systemd/private",
        0,
        1000,
        "/user.slice/user-1000.slice/user@1000.service/user.slice/p-n.scope",
    )
    with pytest.raises(HostError, match="--systemd-cgroup: XDG_RUNTIME_DIR is not set"):
        started(":p:n", user, **spaces)
    # Root of a user namespace: a user's, if that is where the directory comes from.
    inside = Inside(
        **{
            name: getattr(v2(), name)
            for name in (
                "euid",
                "egid",
                "permitted",
                "bounding",
                "last_capability",
                "denies_setgroups",
                "files",
                "seccomp_flags",
                "resctrl",
                "cgroups",
            )
        },
        has_systemd=True,
        in_user_namespace=True,
    )
    assert asked(inside, runtime_dir="/run/user/1000")[2:] == (
        1000,
        "/user.slice/user-1000.slice/user@1000.service/user.slice/p-n.scope",
    )
    assert asked(inside)[2:] == (0, "/system.slice/p-n.scope")


@pytest.mark.parametrize("path", ["/a", "a:b", "a:b:c", "a.slice:b:c.slice"])
def test_paths_that_are_none(path):
    with pytest.raises(ConfigError, match="linux.cgroupsPath: found "):
        made(path)


def test_hosts():
    with pytest.raises(HostError, match="systemd does not run"):
        made(on=v2())
    with pytest.raises(HostError, match="^--systemd-cgroup: this host has no cgroup hierarchy name=systemd"):
        made(on=host(has_systemd=True, cgroups=Cgroups(v1("memory"))))
    with pytest.raises(HostError, match="a user's own systemd has no controllers"):
        choose(
            parse(json.dumps(config()).encode()),
            request(systemd_cgroup="1", runtime_dir="/run/user/1000", rootless="true"),
            host(has_systemd=True, euid=1000),
            Plan(Trace()),
        )


def test_no_task_at_all(core):
    """pids.limit 0 since 1.3.0: the scope's own first process must live."""
    _, properties = called(core, started("a.slice:p:n", linux__resources={"pids": {"limit": 0}}, ociVersion="1.3.0"))
    assert properties["TasksMax"] == ("t", 1)


def test_on_cgroup_v1(core):
    """Systemd's own hierarchy and path in all; the child opens what it joins when it has been placed. As runc tells it."""
    on = host(has_systemd=True, cgroups=Cgroups(v1("cpu", "memory", "devices", "freezer", "pids", "name=systemd")))
    built = made(
        "a-b.slice:p:n", on, linux__resources={"memory": {"limit": 5000}, "cpu": {"shares": 500}, "pids": {"limit": 7}}
    )
    path = "/a.slice/a-b.slice/p-n.scope"
    start, waits = steps(built, "host", "StartUnit", "AwaitUnit")
    assert (waits.hierarchy, bound(waits.path), waits.mark) == ("/sys/fs/cgroup/systemd", path, ":name=systemd:")
    _, properties = called(core, start)
    assert {
        name: properties[name] for name in ("MemoryLimit", "CPUShares", "TasksMax", "BlockIOAccounting", "Delegate")
    } == {
        "MemoryLimit": ("t", 5000),
        "CPUShares": ("t", 500),
        "TasksMax": ("t", 7),
        "BlockIOAccounting": ("b", True),
        "Delegate": ("b", True),
    }
    assert [
        (step.hierarchy, bound(step.path), step.owned_by_systemd) for step in steps(built, "host", "MakeCgroup")
    ] == [(f"/sys/fs/cgroup/{name}", path, 1) for name in ("cpu", "memory", "devices", "pids", "freezer")]
    order = names(built, "host")
    assert order[order.index("StartUnit") + 1] == "AwaitUnit"
    assert order.index("Spawn") < order.index("StartUnit") < order.index("MakeCgroup") < order.index("WriteCgroup")
    # The runtime opens what the child joins by: in a user namespace that may not.
    opened = [step.fd for step in steps(built, "host", "MakeCgroup", "OpenCgroup")]
    assert sorted(opened) == [step.fd for step in steps(built, "init", "JoinCgroup")] and len(opened) == 6
    assert {step.file for step in steps(built, "host", "MakeCgroup", "OpenCgroup")} == {"tasks"}
    (sent,) = steps(built, "host", "Send")
    assert order.index("Send") > order.index("WriteCgroup") and (sent.first, sent.count) == (min(opened), 6)
    assert names(built, "delete")[-1] == "StopUnit"


@pytest.mark.parametrize("text, data", [("0", b"\1"), ("0-8", b"\xff\1"), ("1, 3", b"\n"), ("16", b"\0\0\1")])
def test_bits(text, data):
    assert bits(Text(text, "x", Trace())) == data


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-", "-1", "1,,2", "9000", "é"])
def test_bits_of_nothing(text):
    with pytest.raises(ConfigError):
        bits(Text(text, "x", Trace()))


# ---- bytes ----


@pytest.mark.parametrize(
    "signature, items, body",
    [
        ("yyt", ["y", "1", "y", "255", "t", str(MAX)], (1, 255, MAX)),
        ("t", ["t", "-1"], (MAX,)),
        ("t", ["d", "9", "4"], (5,)),
        ("t", ["d", "4", "9"], (0,)),
        ("ay", dbus.octets("x", b"")[5:], (b"",)),
        ("yas", ["y", "1", "a4", "s", "é", "s", "", "]"], (1, ["é", ""])),
        ("g", ["g", "a(sv)"], ("a(sv)",)),
        ("sa(sv)y", ["s", "x", "a8", "]", "y", "1"], ("x", [], 1)),
        ("u", ["p"], (7,)),
    ],
)
def test_marshalling(core, signature, items, body):
    (message,) = messages(core, dbus.message(dbus.MANAGER, "Call", signature, items), 7)
    assert message.body == body


@pytest.mark.parametrize(
    "items",
    [["s"], ["t", "x"], ["t", ""], ["t", str(1 << 64)], ["]"], ["?", "1"], ["d", "1"], ["a4"] * 9, ["s", "x" * 40000]],
)
def test_items_that_make_no_message(core, items):
    assert core.calls(dbus.message(dbus.MANAGER, "Call", "s", items), 1) is None


def said(core, data):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.close()
        return core.messages(ours.fileno())


def test_reading(core):
    path, signals = jeepney.DBusAddress("/o", bus_name="a.b", interface="c.d"), []
    call = jeepney.new_method_call(path, "X")
    call.header.serial = 5
    reply, error = (
        jeepney.new_method_return(call, "o", ("/job/1",)),
        jeepney.new_error(call, "a.Wrong", "s", ("it is",)),
    )
    long = jeepney.new_signal(path, "Long", "s", ("x" * 100000,))
    for message in (
        long,
        jeepney.new_signal(path, "JobRemoved", "uoss", (9, "/job/1", "u.scope", "done")),
        reply,
        long,
        error,
    ):
        signals.append(message.serialise(serial=1))
    text, ended = said(core, b"OK 1234deadbeef\r\n" + b"".join(signals))
    assert (
        text.splitlines() == ["4 0 JobRemoved 9 /job/1 u.scope done", "2 5  /job/1", "3 5 a.Wrong it is"]
        and ended == -104
    )


def test_reading_what_makes_no_sense(core):
    """Every byte of a message changed, and every length: never a crash, always an end."""
    path = jeepney.DBusAddress("/o", bus_name="a.b", interface="c.d")
    whole = jeepney.new_signal(path, "JobRemoved", "uoss", (9, "/job/1", "u.scope", "done")).serialise(serial=1)
    for at in range(len(whole)):
        for value in (0, 1, 127, 255):
            assert said(core, b"OK 1\r\n" + whole[:at] + bytes((value,)) + whole[at + 1 :] + whole)[1] < 0
        assert said(core, b"OK 1\r\n" + whole[:at])[1] == -104
    for greeting in (b"", b"REJECTED EXTERNAL\r\n", b"OK", b"x" * 1000):
        assert said(core, greeting)[0] == "" and said(core, greeting)[1] < 0


SUBGROUP, DELEGATE = "run.oci.systemd.subgroup", "run.oci.delegate-cgroup"


def paths(found, section, *kinds):
    return [(type(step).__name__, bound(step.path)) for kind in kinds for step in steps(found, section, kind)]


def test_the_network_namespace_comes_while_systemd_works():
    found = made("a.slice:p:n", linux__namespaces=[{"type": "mount"}, {"type": "network"}])
    order = names(found, "host")
    assert order[order.index("StartUnit") :][:4] == ["StartUnit", "TakeNetwork", "Send", "AwaitUnit"]


def test_subgroup():
    """The unit's steps are on the scope, all others on its child; the child of the runtime leaves the scope before limits are written."""
    found = made("a.slice:p:n", annotations={SUBGROUP: "sub"}, linux__resources={"memory": {"limit": 5000}})
    scope, sub = "/a.slice/p-n.scope", "/a.slice/p-n.scope/sub"
    host = names(found, "host")
    first = host.index("Spawn")
    assert host[first + 1 : first + 8] == [
        "AssertEmptyCgroup",
        "StartUnit",
        "AwaitUnit",
        "MakeCgroup",
        "Send",
        "Receive",
        "EnableControllers",
    ]
    assert paths(
        found,
        "host",
        "AssertEmptyCgroup",
        "AwaitUnit",
        "MakeCgroup",
        "EnableControllers",
        "WriteCgroup",
        "LoadDeviceFilter",
    ) == [
        ("AssertEmptyCgroup", scope),
        ("AwaitUnit", scope),
        ("MakeCgroup", sub),
        ("EnableControllers", sub),
        ("WriteCgroup", sub),
        ("LoadDeviceFilter", sub),
    ]
    order = names(found, "init")
    assert order[order.index("Receive") :][:4] == ["Receive", "JoinCgroup", "Send", "Receive"]
    assert paths(found, "delete", "ThawCgroup", "RemoveCgroup", "StopUnit") == [
        ("ThawCgroup", sub),
        ("RemoveCgroup", sub),
        ("RemoveCgroup", scope),
        ("StopUnit", scope),
    ]
    for section, kind in (
        ("signal", "SignalCgroup"),
        ("pause", "FreezeCgroup"),
        ("resume", "WriteCgroup"),
    ):
        assert paths(found, section, kind) == [(kind, sub)]
    assert bound(found.facts.freezer_path) == sub
    plain = made("a.slice:p:n", annotations={SUBGROUP: "", DELEGATE: ""}, linux__resources={"memory": {"limit": 5000}})
    assert shown(plain, "host") == shown(made("a.slice:p:n", linux__resources={"memory": {"limit": 5000}}), "host")


def test_delegation():
    """Init enters the inner cgroup once its cgroup namespace has the outer one for its root."""
    found = made(
        "a.slice:p:n",
        annotations={SUBGROUP: "sub", DELEGATE: "in"},
        linux__namespaces=[{"type": "mount"}, {"type": "cgroup"}],
    )
    sub, inner = "/a.slice/p-n.scope/sub", "/a.slice/p-n.scope/sub/in"
    assert paths(found, "host", "MakeCgroup") == [("MakeCgroup", sub), ("MakeCgroup", inner)]
    assert paths(found, "host", "LoadDeviceFilter") == [("LoadDeviceFilter", sub)]
    assert {step.file for step in steps(found, "host", "MakeCgroup")} == {"cgroup.procs"}
    first, last = (found.sections["init"].index(step) for step in steps(found, "init", "JoinCgroup"))
    _, unshare = steps(found, "init", "Unshare")
    assert first < found.sections["init"].index(unshare) < last
    assert [step.fd for step in steps(found, "init", "JoinCgroup")] == [
        step.fd for step in steps(found, "host", "MakeCgroup")
    ]
    assert paths(found, "delete", "RemoveCgroup")[:2] == [("RemoveCgroup", inner), ("RemoveCgroup", sub)]


@pytest.mark.parametrize("name", [SUBGROUP, DELEGATE])
@pytest.mark.parametrize("value", ["/a", "a/b", ".", "..", "x" * 256])
def test_subgroups_that_are_none(name, value):
    with pytest.raises(ConfigError, match=re.escape(f'annotations["{name}"]')):
        made("a.slice:p:n", annotations={SUBGROUP: "sub", name: value})


def test_subgroup_without_systemd():
    found = plan(config(annotations={SUBGROUP: "sub", DELEGATE: "in"}), v2())
    assert [values(step)["message"] for step in steps(found, "host", "Warn")] == [
        f'annotations["{SUBGROUP}"] has no effect: it works only with systemd as the cgroup manager, on cgroup v2',
        f'annotations["{DELEGATE}"] has no effect: it works only with {SUBGROUP}, and systemd as the cgroup manager',
    ]
    assert paths(found, "host", "MakeCgroup") == paths(plan(config(), v2()), "host", "MakeCgroup")


def test_delegation_on_v1():
    on = host(has_systemd=True)
    with pytest.raises(
        ConfigError, match=re.escape(f'annotations["{DELEGATE}"]: found "in", expected none on cgroup v1')
    ):
        made("a.slice:p:n", on=on, annotations={SUBGROUP: "sub", DELEGATE: "in"})
