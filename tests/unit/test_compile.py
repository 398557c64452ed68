"""Whole plans: what `runc spec`'s config becomes, and how the parts stand together."""

import json

import pytest

from ocirt.compile import compile
from ocirt.errors import ConfigError, RequestError
from ocirt.model.config import parse
from ocirt.model.text import bound
from ocirt.plan.steps import EVENTS
from tests.unit.plans import DATA, config, facts, host, names, plan, request, shown, steps, values, with_changes

READY, MAPPED, PLACED = [EVENTS.index(name) for name in ("ready", "mapped", "placed")]


@pytest.fixture(scope="module")
def spec():
    """The plan of `runc spec`'s config (runc 1.1.5), on a hybrid host, as root."""
    data = (DATA / "runc-spec.json").read_bytes()
    return compile(parse(data), request(console_socket="/socket", pid_file="/pid"), host())


HIERARCHIES = ["cpu", "cpuacct", "cpuset", "memory", "devices", "blkio", "pids", "systemd", "freezer"]


def test_host_section(spec):
    hierarchies = ["unified", *HIERARCHIES]
    made = shown(spec, "host", "MakeCgroup")
    assert [fields["hierarchy"].rpartition("/")[2] for _, fields in made] == hierarchies
    assert {fields["path"] for _, fields in made} == {"/c1"}
    assert [fields["inherit"] for _, fields in made if "inherit" in fields] == [["cpuset.cpus", "cpuset.mems"]]
    assert [(fields["fd"], fields.get("file")) for _, fields in made] == [
        (9, None),
        *[(fd, "tasks") for fd in range(9)],
    ]
    assert names(spec, "host")[:3] == ["BeginNetwork", "StoreContainer", "MakeCgroup"]
    assert names(spec, "host")[3:6] == ["OpenSocket", "Spawn", "MakeCgroup"]
    assert names(spec, "host")[-7:] == [
        *("Send", "TakeNetwork", "Send", "PreparePidFile", "Receive", "Commit", "WritePidFile")
    ]
    assert shown(spec, "host", "OpenSocket", "Spawn", "Send", "Receive", "PreparePidFile", "WritePidFile") == [
        ("OpenSocket", {"fd": 11, "path": "/socket"}),
        ("Spawn", {"section": "init", "flags": 0x20000000, "cgroup": 9}),
        ("Send", {"event": PLACED, "first": 0, "count": 9}),
        ("Send", {"event": EVENTS.index("network"), "first": 10, "count": 1}),
        ("PreparePidFile", {"path": "/pid"}),
        ("Receive", {"event": READY}),
        ("WritePidFile", {"path": "/pid"}),
    ]


RENEWED = {"verb": "create", "late": "1", "renew": "1"}


def test_section_of_the_next_container():
    """It begins with the removal of what counts or limits over time, and goes on as the first container's."""
    members = json.loads((DATA / "runc-spec.json").read_bytes())
    members["process"]["terminal"] = False
    members["mounts"] = [each for each in members["mounts"] if each["type"] != "cgroup"]
    made = plan(members, host(), **RENEWED)
    removed = [fields["hierarchy"].rpartition("/")[2] for _, fields in shown(made, "renew", "RemoveCgroup")]
    assert removed == ["cpu", "memory", "blkio", "pids"] and names(made, "renew")[0] == "BeginNetwork"
    assert made.sections["renew"][1 + len(removed) :] == made.sections["host"][2:]
    assert shown(made, "host", "StoreContainer") == [("StoreContainer", {"listen": 0})]
    for change in (
        {"hooks": {"poststop": [{"path": "/x"}]}},
        {"mounts": [*members["mounts"], {"destination": "/c", "type": "cgroup", "source": "cgroup"}]},
        {"linux": {**members["linux"], "namespaces": [{"type": "mount"}, {"type": "uts"}]}},
    ):
        assert plan(with_changes(members, **change), host(), **RENEWED).sections["renew"] == []
    assert plan(members, host(), **{**RENEWED, "renew": ""}).sections["renew"] == []
    with pytest.raises(RequestError, match="--renew: found no --late"):
        plan(members, host(), **{**RENEWED, "late": ""})


def test_limits_are_written_before_anything_joins(spec):
    order = names(spec, "host")
    last_write = len(order) - order[::-1].index("WriteCgroup")
    assert last_write <= order.index("Send") and names(spec, "init").index("Receive") < names(spec, "init").index(
        "JoinCgroup"
    )


def test_init_section_up_to_the_root(spec):
    rows = shown(spec, "init")
    assert rows[:6] == [
        ("ResetAffinity", {}),
        ("SetDumpable", {"value": 0}),
        ("Unshare", {"flags": 0xC020000}),
        ("NewKeyring", {"name": "_ses.c1"}),
        ("SetPropagation", {"propagation": 1 << 19, "recursive": 1}),
        ("OpenRootfs", {"path": "/bundle/rootfs"}),
    ]
    assert rows[6:24] == [
        ("Mount", {"fstype": "proc", "source": "proc", "target": "/proc"}),
        (
            "Mount",
            {
                "fstype": "tmpfs",
                "source": "tmpfs",
                "target": "/dev",
                "options": ["mode=755", "size=65536k"],
                "set": 0x22,
            },
        ),
        (
            "Mount",
            {
                "fstype": "devpts",
                "source": "devpts",
                "target": "/dev/pts",
                "options": ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
                "set": 0xA,
            },
        ),
        (
            "Mount",
            {
                "fstype": "tmpfs",
                "source": "shm",
                "target": "/dev/shm",
                "options": ["mode=1777", "size=65536k"],
                "set": 0xE,
            },
        ),
        ("Mount", {"fstype": "mqueue", "source": "mqueue", "target": "/dev/mqueue", "set": 0xE}),
        ("Receive", {"event": PLACED, "first": 0, "count": 9}),
        *[("JoinCgroup", {"fd": fd}) for fd in range(9)],
        ("Receive", {"event": EVENTS.index("network"), "first": 10, "count": 1}),
        ("JoinNamespace", {"fd": 10, "kind": 0x40000000}),
        ("Mount", {"fstype": "sysfs", "source": "sysfs", "target": "/sys", "set": 0xF}),
    ]
    assert rows[24:35] == [
        (
            "Mount",
            {"fstype": "tmpfs", "source": "tmpfs", "target": "/sys/fs/cgroup", "options": ["mode=755"], "set": 0xE},
        ),
        *[
            (
                "Bind",
                {"source": f"/sys/fs/cgroup/{name}/c1", "target": f"/sys/fs/cgroup/{name}", "recursive": 1},
            )
            for name in [each.mount.rpartition("/")[2] for each in host().cgroups.hierarchies]
        ],
        ("SetMountAttributes", {"target": "/sys/fs/cgroup", "set": 0xF, "clear": 0x70, "recursive": 1}),
    ]


def test_init_section_from_devices_to_the_program(spec):
    rows = shown(spec, "init")[35:]
    assert [name for name, _ in rows[:6]] == ["MakeNode"] * 6
    assert rows[0] == ("MakeNode", {"path": "/dev/null", "kind": 0o020000, "major": 1, "minor": 3, "mode": 0o666})
    assert [(fields["path"], fields["to"]) for _, fields in rows[6:12]] == [
        ("/dev/ptmx", "pts/ptmx"),
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/core", "/proc/kcore"),
    ]
    assert rows[12:17] == [
        ("MakeConsole", {"fd": 11, "uid": 0, "height": 0, "width": 0, "device": 1}),
        ("MakeDirectory", {"path": "/", "mode": 0o755}),
        ("PivotRoot", {}),
        ("SetMountAttributes", {"target": "/", "set": 1, "propagation": 1 << 18}),
        ("SetHostname", {"name": "runc"}),
    ]
    assert [name for name, _ in rows[17:32]] == ["ReadonlyPath"] * 5 + ["MaskPath"] * 10
    three = 1 << 5 | 1 << 10 | 1 << 29
    environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]
    assert rows[32:] == [
        ("SetRlimit", {"resource": 7, "soft": 1024, "hard": 1024, "name": "RLIMIT_NOFILE"}),
        ("CloseDescriptors", {"preserve": 0}),
        ("ChangeDirectory", {"path": "/", "retry_later": 1}),
        ("FindHome", {"uid": 0, "env": environment}),
        ("DropBounding", {"keep": three}),
        ("SetUser", {"uid": 0, "gid": 0, "groups": []}),
        ("SetCapabilities", {"effective": three, "permitted": three, "inheritable": 0, "ambient": 0}),
        ("SetNoNewPrivileges", {}),
        ("ChangeDirectory", {"path": "/"}),
        ("FindExecutable", {"args": ["sh"], "env": environment}),
        ("Send", {"event": READY}),
    ]
    assert shown(spec, "init", "FindExecutable") == [("FindExecutable", {"args": ["sh"], "env": environment})]
    assert shown(spec, "exec_program") == [("PrepareExec", {"preserve": 0}), ("Exec", {"args": ["sh"]})]


def test_an_init_parts_from_the_program_after_its_filter():
    """What could trace the init gains nothing by it, and a filter that notifies is loaded once."""
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["keyctl"], "action": "SCMP_ACT_ERRNO"}]}
    for privileges in (True, False):
        made = plan(config(linux__seccomp=profile, process__noNewPrivileges=not privileges), init="1")
        end_of_loan = ["SetCapabilities"] if privileges else []  # of CAP_SYS_ADMIN, which execve would end
        assert names(made, "exec_program")[-4 - privileges :] == [
            "PrepareExec",
            "LoadSeccomp",
            *end_of_loan,
            "KeepInit",
            "Exec",
        ]
    assert '"init":"1"' in bound(made.facts.request) and "KeepInit" not in names(plan(config()), "exec_program")


def test_the_sections_of_the_later_verbs(spec):
    assert spec.sections["stage"] == spec.sections["after_start"] == []
    assert shown(spec, "signal") == [("SignalCgroup", {"hierarchy": "/sys/fs/cgroup/freezer", "path": "/c1"})]
    rows = shown(spec, "delete")
    assert rows[:3] == [
        ("ThawCgroup", {"hierarchy": "/sys/fs/cgroup/freezer", "path": "/c1"}),
        ("KillInit", {}),
        ("RemoveCgroup", {"hierarchy": "/sys/fs/cgroup/freezer", "path": "/c1"}),
    ]
    assert [name for name, _ in rows[2:]] == ["RemoveCgroup"] * 10


def test_the_facts(spec):
    fields = facts(spec)
    assert json.loads(fields.pop("request")) == {
        "verb": "create",
        "cgroup-manager": "cgroupfs",
        "rootless": "auto",
        "console-socket": "-",
        "own-cgroups": {values(step)["hierarchy"]: "/" for step in steps(spec, "host", "MakeCgroup")},
    }
    assert fields == {
        "oci_version": "1.3.0",
        "id": "c1",
        "bundle": "/bundle",
        "rootfs": "/bundle/rootfs",
        "annotations": "{}",
        "freezer_hierarchy": "/sys/fs/cgroup/freezer",
        "freezer_path": "/c1",
        "paused_file": "freezer.self_freezing",
        "memory_hierarchy": "/sys/fs/cgroup/memory",
        "memory_path": "/c1",
        "oom_file": "memory.oom_control",
        "oom_key": "oom_kill",
        "peak_file": "memory.max_usage_in_bytes",
        "cpu_hierarchy": "/sys/fs/cgroup/cpu",
        "cpu_path": "/c1",
        "cpu_file": "cpu.stat",
        "pids_hierarchy": "/sys/fs/cgroup/pids",
        "pids_path": "/c1",
        "pids_file": "pids.events",
    }


def test_pause_and_resume(spec):
    freezer = {"hierarchy": "/sys/fs/cgroup/freezer", "path": "/c1", "file": "freezer.state"}
    assert shown(spec, "pause") == [("FreezeCgroup", {**freezer, "value": "FROZEN", "undo": "THAWED"})]
    assert shown(spec, "resume") == [("WriteCgroup", {**freezer, "value": "THAWED"})]
    assert spec.update == spec.restore == []


def test_every_step_names_what_asked_for_it_and_the_spec(spec):
    rules = {
        "default devices",
        "session keyring",
        "not dumpable",
        "root",
        "create",
        "delete",
        "state",
        "$id",
        "--console-socket",
        "--pid-file",
    }
    top = {"linux", "mounts", "process", "root", "hostname"}
    for section in spec.sections.values():
        for step in section:
            assert step.at in rules or step.at.split(".")[0].split("[")[0] in top, step
            assert not step.spec or step.spec.split("#")[0] in ("config.md", "config-linux.md", "runtime.md"), step


def test_annotations_are_passed_on_as_they_stand():
    members = config(annotations={"a": "é\n", "b": ""})
    found = facts(plan(members))["annotations"]
    assert json.loads(found) == members["annotations"]
    assert "\\u00e9" in found  # json.dumps wrote it so


def test_annotations_must_be_strings():
    with pytest.raises(ConfigError, match=r'annotations\["x.y"\]: found 1, expected a string'):
        plan(config(annotations={"x.y": 1}))


def test_without_process_there_is_nothing_to_start():
    made = plan(config(process=..., hooks={"startContainer": [{"path": "/h"}]}))
    assert made.sections["exec_program"] == []
    assert names(made, "init")[-1] == "Send" and "FindExecutable" not in names(made, "init")


def test_pidfd_socket():
    made = plan(config(), pidfd_socket="/socket")
    (socket,), (send,) = steps(made, "host", "OpenSocket"), steps(made, "host", "SendPidfd")
    assert socket.fd == send.fd and socket.path.path == "$pidfd-socket"
    order = names(made, "host")
    assert order.index("Receive") < order.index("SendPidfd") < order.index("Commit")


@pytest.mark.parametrize(
    "terminal, words, message",
    [
        (True, {}, "cannot allocate tty if ocirt will detach without setting console socket"),
        (
            True,
            {"verb": "run", "detach": "1"},
            "cannot allocate tty if ocirt will detach without setting console socket",
        ),
        (False, {"console_socket": "/s"}, "cannot use console socket if ocirt will not detach or allocate tty"),
        (
            True,
            {"verb": "run", "console_socket": "/s"},
            "cannot use console socket if ocirt will not detach or allocate tty",
        ),
    ],
)
def test_terminal_and_console_socket(terminal, words, message):
    with pytest.raises(RequestError, match=message):
        plan(config(process__terminal=terminal), **words)


def test_a_foreground_terminal_goes_to_the_runtime():
    made = plan(config(process__terminal=True, process__consoleSize={"height": 25, "width": 80}), verb="run")
    assert shown(made, "init", "MakeConsole") == [
        ("MakeConsole", {"fd": -1, "uid": 0, "height": 25, "width": 80, "device": 1})
    ]
    assert steps(made, "host", "OpenSocket") == []


def test_a_later_build_compiles_the_same_later_verbs():
    members = config(process__terminal=True, hooks={"poststop": [{"path": "/h"}]})
    first = plan(members, host(), console_socket="/s", pid_file="/p", rootless="true")
    stored = json.loads(facts(first)["request"])
    again = plan(
        members, host(cgroups=_moved(host())), **{name.replace("-", "_"): value for name, value in stored.items()}
    )
    for section in ("exec_program", "after_start", "signal", "delete"):
        assert first.sections[section] == again.sections[section], section
    assert first.facts == again.facts


def _moved(machine):
    """The same layout, looked at by a caller that is in other cgroups."""
    for each in machine.cgroups.hierarchies:
        each.own = "/somewhere/else"
    return machine.cgroups


def test_more_descriptors_than_a_plan_has():
    """A device that the runtime makes for a user namespace takes one."""
    devices = [{"path": f"/dev/x{number}", "type": "c", "major": 1, "minor": 5} for number in range(1100)]
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    spaces = [{"type": "mount"}, {"type": "user"}]
    with pytest.raises(ConfigError, match="^config.json: found more than 1024 files, mounts, devices and namespaces"):
        plan(config(linux__devices=devices, linux__namespaces=spaces, linux__uidMappings=maps, linux__gidMappings=maps))
