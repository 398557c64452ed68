"""Plans as people read them: one line a step, everything decoded."""

import pytest

from ocirt.model.text import Number, Table, Text, Texts, Trace
from ocirt.plan import Plan, printer, steps
from ocirt.plan.printer import field, fields, flags, plan_lines, text, trace_lines


@pytest.fixture
def trace():
    return Trace()


def test_a_plan(trace):
    plan = Plan(trace)
    plan.host.append(steps.Spawn("linux.namespaces", "config-linux.md#namespaces", section="init", flags=0x20020000))
    plan.init.append(
        steps.Mount("mounts[0]", "config.md#mounts", fstype="proc", source="proc", target="/proc", set=1 << 31)
    )
    plan.init.append(steps.PivotRoot("root.path", "config.md#root"))
    assert plan_lines(plan) == [
        "host: the runtime, at create",
        "   1  Spawn      linux.namespaces  section=init flags=CLONE_NEW{NS,PID}                 "
        "config-linux.md#namespaces",
        "",
        "init: the container's first process, before start",
        "   1  Mount      mounts[0]         fstype=proc source=proc target=/proc set=0x80000000  config.md#mounts",
        f"   2  PivotRoot  root.path         {'':51}  config.md#root",
    ]


def test_an_empty_plan(trace):
    assert plan_lines(Plan(trace)) == []


def test_every_section_is_explained():
    assert tuple(printer.RUNS) == steps.SECTIONS


def test_a_step_without_spec_ends_with_its_path(trace):
    plan = Plan(trace)
    plan.init.append(steps.SetDumpable("every container", value=0))
    assert plan_lines(plan)[1] == "   1  SetDumpable  every container  value=0"


def test_columns_stand_in_one_place_whatever_the_lengths(trace):
    plan = Plan(trace)
    plan.init.extend([steps.MaskPath("a" * length, "S", path="/" + "x" * length) for length in (1, 20, 40)])
    lines = plan_lines(plan)[1:]
    assert len({line.index("path=") for line in lines}) == 1
    assert len({line.index("  S") for line in lines}) == 1


def test_a_very_long_field_moves_its_own_line_alone(trace):
    plan = Plan(trace)
    plan.init.extend([steps.MaskPath("A", "S", path="/short"), steps.MaskPath("A", "S", path="/" + "x" * 300)])
    _, short, long = plan_lines(plan)
    assert short == "   1  MaskPath  A  path=/short  S" and long.endswith("xx  S")


def test_what_has_its_default_is_left_out():
    step = steps.Bind("m", source="/a", target="/b")
    assert fields(step) == "source=/a target=/b"
    step = steps.Bind("m", source="/a", target="/b", recursive=1, optional=1)
    assert fields(step) == "source=/a target=/b recursive=1 optional=1"
    step = steps.Mount("m", fstype="tmpfs", source="", target="/t", options=())
    assert fields(step) == 'fstype=tmpfs source="" target=/t'


@pytest.mark.parametrize(
    "step, name, shown",
    [
        (steps.Bind("", source="/a", target="/b", clear=0x70), "clear", "MOUNT_ATTR__ATIME"),
        (
            steps.Bind("", source="/a", target="/b", recursive_clear=0x71),
            "recursive_clear",
            "MOUNT_ATTR_{_ATIME,RDONLY}",
        ),
        (steps.Bind("", source="/a", target="/b", set=0x210), "set", "MOUNT_ATTR_NOATIME|0x200"),
        (steps.Bind("", source="/a", target="/b", propagation=1 << 19), "propagation", "MS_SLAVE"),
        (steps.SetPropagation("", propagation=1 << 18, recursive=1), "propagation", "MS_PRIVATE"),
        (steps.SetPropagation("", propagation=0, recursive=1), "propagation", "0"),
        (steps.Unshare("", flags=0x02000000), "flags", "CLONE_NEWCGROUP"),
        (steps.OpenNamespace("", fd=1, path="/p", kind=0x40000000), "kind", "CLONE_NEWNET"),
        (steps.OpenNamespace("", fd=1, path="/p", kind=0x40000000), "fd", "fd1"),
        (steps.JoinNamespace("", fd=0, kind=0x10000000), "kind", "CLONE_NEWUSER"),
        (steps.Spawn("", section="stage", flags=0x80), "cgroup", "none"),
        (steps.Spawn("", section="stage", flags=0x80), "section", "stage"),
        (steps.MakeNode("", path="/n", kind=0o020000, major=1, minor=3, mode=0o666), "kind", "S_IFCHR"),
        (steps.MakeNode("", path="/n", kind=0o060000, major=1, minor=3, mode=0o666), "kind", "S_IFBLK"),
        (steps.MakeNode("", path="/n", kind=0o010000, major=1, minor=3, mode=0o666), "kind", "S_IFIFO"),
        (steps.MakeNode("", path="/n", kind=0o020000, major=1, minor=3, mode=0o666), "mode", "0666"),
        (steps.MakeDirectory("", path="/n", mode=0o1777), "mode", "1777"),
        (steps.SetUmask("", mask=0o22), "mask", "0022"),
        (steps.Send("", event=steps.EVENTS.index("ready")), "event", "ready"),
        (steps.SetRlimit("", resource=7, soft=1024, hard=-1, name="RLIMIT_NOFILE"), "hard", "unlimited"),
        (steps.SetRlimit("", resource=7, soft=2**64 - 1, hard=-1, name="RLIMIT_NOFILE"), "soft", "unlimited"),
        (steps.SetRlimit("", resource=7, soft=1024, hard=-1, name="RLIMIT_NOFILE"), "soft", "1024"),
        (steps.DropBounding("", keep=1 << 5 | 1 << 40), "keep", "CAP_{KILL,CHECKPOINT_RESTORE}"),
        (
            steps.SetCapabilities("", effective=1 << 10, permitted=0, inheritable=1 << 41, ambient=1),
            "effective",
            "CAP_NET_BIND_SERVICE",
        ),
        (
            steps.SetCapabilities("", effective=1 << 10, permitted=0, inheritable=1 << 41, ambient=1),
            "inheritable",
            "0x20000000000",
        ),
        (steps.SetUser("", uid=1000, gid=5, groups=("10", "20")), "groups", "[10 20]"),
        (steps.SetUser("", uid=1000, gid=5, groups=("10", "20")), "uid", "1000"),
        (steps.LoadSeccomp("", filter=bytes(24), flags=4), "flags", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"),
        (steps.LoadSeccomp("", filter=bytes(24), flags=0), "filter", "(24 bytes)"),
        (
            steps.LoadNotifyingSeccomp("", filter=b"", flags=12, socket=1, metadata="", status="created"),
            "flags",
            "SECCOMP_FILTER_FLAG_{SPEC_ALLOW,NEW_LISTENER}",
        ),
        (steps.SetMemoryPolicy("", mode=0x8002, nodes=b"\3" + bytes(7), name="MPOL_BIND"), "mode", "0x8002"),
        (steps.SetMemoryPolicy("", mode=2, nodes=b"\3" + bytes(7), name="MPOL_BIND"), "nodes", "0300000000000000"),
        (steps.SetMemoryPolicy("", mode=0, nodes=b"", name="MPOL_DEFAULT"), "nodes", '""'),
    ],
)
def test_fields_are_decoded(step, name, shown):
    assert field(step, name) == shown


@pytest.mark.parametrize("step", steps.STEPS)
def test_every_step_can_be_printed(step):
    kinds = {"text": "t", "texts": ["a", "b"], "number": 1, "section": "init", "event": 1, "bytes": b"\0" * 8}
    kinds |= dict.fromkeys(steps.REGISTER_KINDS, 3)
    made = step("here", **{name: kinds[kind] for name, kind in step.fields.items()})
    assert [word.partition("=")[0] for word in fields(made).split() if "=" in word] == [
        name for name in step.fields if kinds[step.fields[name]] != step.defaults.get(name)
    ]


def test_values_of_the_config_are_shown_as_they_are_now(trace):
    name, args, uid = (
        Text("box", "hostname", trace),
        Texts(["sh", "-c", "echo hi"], "process.args", trace),
        Number(7, "process.user.uid", trace),
    )
    assert field(steps.SetHostname("hostname", name=name), "name") == "box"
    assert field(steps.SetHostname("hostname", name="a-" + name), "name") == "a-box"
    assert field(steps.Exec("process", args=args), "args") == '[sh -c "echo hi"]'
    assert field(steps.SetUser("process.user", uid=uid, gid=0, groups=()), "uid") == "7"


def test_printing_looks_at_nothing(trace):
    """A guard or test that the printer made would stand in the output of --slots."""
    name = Text("box", "hostname", trace)
    plan = Plan(trace)
    plan.init.append(steps.SetHostname("hostname", name=name))
    plan_lines(plan)
    assert (trace.slots, trace.guards, trace.tests) == ({}, {}, {})


@pytest.mark.parametrize(
    "value, shown",
    [
        ("", '""'),
        ("a b", '"a b"'),
        ("é", '"é"'),
        ("a\n", '"a\\n"'),
        ("\u202e", '"\\u202e"'),
        ("/a/b-c_1.x", "/a/b-c_1.x"),
        ('{"a":1}', """'{"a":1}'"""),
        ("\"'", '"\\"\'"'),
        ('"\\', '"\\"\\\\"'),
    ],
)
def test_strings_are_one_word_and_hide_nothing(value, shown):
    assert text(value) == shown


def test_flags_of_no_name_are_numbers():
    assert flags(0b111, "X_", {1: "A", 4: "C"}) == "X_{A,C}|0x2"
    assert flags(0b110, "X_", {1: "A", 4: "C"}) == "X_C|0x2"
    assert flags(0, "X_", {1: "A"}) == "0"


def test_the_trace(trace):
    hostname, kind, path = (
        Text("box", "hostname", trace),
        Text("proc", "mounts[0].type", trace),
        Text("a:b:c", "linux.cgroupsPath", trace),
    )
    hostname.checked(max_length=64)
    path.checked(absolute=False).slot()
    Text("/x", "root.path", trace).checked(absolute=True, max_length=9)
    kind.read()
    path.goes_up()
    path.starts_with("/x")
    path.within(("a", "b"))
    assert trace_lines(trace) == [
        "slots: passed on; any other value that passes the checks makes the same plan",
        "  hostname           max_length=64",
        "  linux.cgroupsPath",
        "  root.path          absolute max_length=9",
        "",
        "guards: read; the plan is for these very values",
        '  mounts[0].type  "proc"',
        "",
        "tests: asked; the plan is for every value with these answers",
        "  linux.cgroupsPath  goes_up            no",
        '  linux.cgroupsPath  starts_with "/x"   no',
        '  linux.cgroupsPath  within ["a", "b"]  no',
    ]


def test_an_empty_trace(trace):
    assert trace_lines(trace).count("  none") == 3


def test_a_table_is_shown_by_its_name(trace):
    Text("ro", "mounts[0].options[0]", trace).within(Table("mount options", ("ro", "rw")))
    assert "  mounts[0].options[0]  within mount options  yes" in trace_lines(trace)


def test_guards_of_every_kind(trace):
    trace.guards.update({"a": None, "b": True, "c": 7, "d": ["x", {"k": False}], "e": "\x1b"})
    shown = "\n".join(trace_lines(trace))
    for line in ("  a  null", "  b  true", "  c  7", '  d  ["x", {"k": false}]', '  e  "\\u001b"'):
        assert line in shown
