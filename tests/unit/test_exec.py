"""exec: what its flags or its process file make of the container's process, and the plan of it."""

import json

import pytest

from ocirt.cli.exec import compile_program
from ocirt.compile.capabilities import BITS
from ocirt.compile.exec import compile
from ocirt.errors import ConfigError, RequestError
from ocirt.model.config import parse
from ocirt.model.exec import ExecRequest
from ocirt.model.request import Request
from ocirt.plan.encode import encode
from ocirt.plan.steps import EVENTS
from tests.unit.core import group, ids
from tests.unit.plans import MAPPED, ROOT, config, facts, host, names, no_cgroups, shown, spaces, steps

READY, COMMITTED, KNOWN, SPAWNED = map(EVENTS.index, ("ready", "committed", "known", "spawned"))
FILE = {"cwd": "/", "args": ["ls"], "env": ["A=1"], "user": {"uid": 0, "gid": 0}}
"""The smallest process file."""
USER = {
    "linux__namespaces": [{"type": "mount"}, {"type": "user"}, {"type": "pid"}],
    "linux__uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
    "linux__gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
}


def request(command=("true",), **words):
    """exec's request; ``env=["A=1"]`` is a flag that repeats."""
    given = {"verb": "exec", "id": "c1", "bundle": "/bundle", "root": "/run/ocirt"}
    for name, value in words.items():
        name = name.replace("_", "-")
        given[name] = ids(value) if name == "user" else list(map(group, value)) if name == "additional-gids" else value
    return ExecRequest(given, list(command))


def plan(members=None, own=None, on=None, created=(), command=("true",), **words):
    """The plan for a process in a container of the config ``members``, which was created with the words ``created``."""
    container = Request({"verb": "create", "id": "c1", "bundle": "/bundle", "root": "/run/ocirt", **dict(created)})
    made = compile(
        parse(json.dumps(members or config()).encode()), container, own, request(command, **words), on or no_cgroups()
    )
    encode(made, "0" * 32)
    return made


def last(made, section, kind):
    return shown(made, section, kind)[-1][1]


# ---- the order of things ----


def test_the_whole():
    made = plan(on=host())
    assert names(made, "host") == ["AssertThawed", *["OpenCgroup"] * 10, "Spawn", "Receive", "Receive", "Release"]
    assert names(made, "stage") == ["ResetAffinity", "SetDumpable", "JoinContainer", "Spawn"]
    assert names(made, "init") == [
        *["JoinCgroup"] * 9,
        "AssertRunning",
        "EnterRoot",
        "NewKeyring",
        "Send",
        "Receive",
        "CloseDescriptors",
        "ChangeDirectory",
        "FindHome",
        "DropBounding",
        "SetUser",
        "SetCapabilities",
        "ChangeDirectory",
        "FindExecutable",
        "RestoreOpenFiles",
        "PrepareExec",
        "Exec",
    ]
    assert all(not made.sections[name] for name in ("before_start", "exec_program", "after_start", "signal", "delete"))
    assert set(facts(made)) == {
        "memory_hierarchy",
        "memory_path",
        "oom_file",
        "oom_key",
        "cpu_hierarchy",
        "cpu_path",
        "cpu_file",
    }


def test_the_child_waits_for_the_runtime_before_it_becomes_the_program():
    made = plan()
    assert shown(made, "init", "Send", "Receive") == [("Send", {"event": READY}), ("Receive", {"event": COMMITTED})]
    assert shown(made, "host", "Receive", "Release") == [
        ("Receive", {"event": SPAWNED}),
        ("Receive", {"event": READY}),
        ("Release", {"relay": 1}),
    ]
    assert shown(plan(detach="1"), "host", "Release") == [("Release", {"relay": 0})]


def test_what_tells_others_comes_when_the_program_runs():
    made = plan(pid_file="/pid", pidfd_socket="/socket")
    assert names(made, "host")[-3:] == ["Release", "SendPidfd", "WritePidFile"]
    assert last(made, "host", "WritePidFile") == {"path": "/pid"}
    (opened,), (sent,) = steps(made, "host", "OpenSocket"), steps(made, "host", "SendPidfd")
    assert opened.fd == sent.fd and opened.path.bound() == "/socket"


# ---- namespaces and root ----


def test_the_namespaces_that_the_container_has_made_or_joined():
    spaces = [
        {"type": "mount"},
        {"type": "pid"},
        {"type": "network", "path": "/run/netns/x"},
        {"type": "time"},
        {"type": "cgroup"},
    ]
    made = plan(config(linux__namespaces=spaces))
    assert last(made, "stage", "JoinContainer") == {"flags": 0x20000 | 0x20000000 | 0x40000000 | 0x80 | 0x02000000}


def test_not_dumpable_before_others_namespaces_are_entered():
    order = names(plan(config(**USER)), "stage")
    assert order.index("SetDumpable") < order.index("JoinContainer")
    init = plan(config(**USER)).init
    at = [type(step).__name__ for step in init].index("BecomeRoot")
    assert type(init[at + 1]).__name__ == "SetDumpable" and init[at + 1].value == 0


def test_without_a_mount_namespace_the_root_is_that_of_the_first_process():
    made = plan(config(linux__namespaces=[{"type": "pid"}]))
    (opened,), (entered,) = steps(made, "host", "OpenContainerRoot"), steps(made, "init", "EnterRoot")
    assert opened.fd == entered.fd
    assert "OpenContainerRoot" not in names(plan(), "host") and shown(plan(), "init", "EnterRoot") == [
        ("EnterRoot", {})
    ]


def test_a_container_without_namespaces():
    made = plan(config(linux__namespaces=[]))
    assert "JoinContainer" not in names(made, "stage")


def test_the_keyring_is_as_at_create():
    assert shown(plan(), "init", "NewKeyring") == [("NewKeyring", {"name": "_ses.c1"})]
    assert "NewKeyring" not in names(plan(created={"no-new-keyring": "1"}), "init")


# ---- cgroups ----


def test_cgroups_are_those_of_create():
    made = plan(config(linux__cgroupsPath="/a/b"), on=host())
    opened = steps(made, "host", "OpenCgroup")
    assert {step.path.bound() for step in opened} == {"/a/b"} and [step.file for step in opened] == ["tasks"] * 9 + [""]
    assert last(made, "host", "Spawn")["cgroup"] == opened[-1].fd  # the unified hierarchy
    assert [step.fd for step in steps(made, "init", "JoinCgroup")] == [step.fd for step in opened[:-1]]
    assert opened[-2].hierarchy == f"{ROOT}/freezer"  # last: what joins a frozen one stops
    assert names(made, "init")[0] == "JoinCgroup"
    relative = plan(config(linux__cgroupsPath="b"), on=host(), created={"own-cgroups": {f"{ROOT}/pids": "/theirs"}})
    paths = {step.hierarchy: step for step in steps(relative, "host", "OpenCgroup")}
    assert paths[f"{ROOT}/pids"].path.pieces[0] == "/theirs/"


def test_no_cgroups():
    made = plan(on=host(), created={"cgroup-manager": "disabled"})
    assert not {"OpenCgroup", "AssertThawed", "JoinCgroup"} & {*names(made, "host"), *names(made, "init")}
    with pytest.raises(RequestError, match='--cgroup "sub": expected none: the container has no cgroup'):
        plan(on=host(), created={"cgroup-manager": "disabled"}, cgroup=["sub"])


def test_a_paused_container():
    assert last(plan(on=host()), "host", "AssertThawed") == {
        "hierarchy": f"{ROOT}/freezer",
        "path": "/c1",
        "file": "freezer.state",
        "thawed": "THAWED",
        "refusal": "cannot exec in a paused container (use --ignore-paused to override)",
    }
    assert "AssertThawed" not in names(plan(on=host(), ignore_paused="1"), "host")


def test_a_cgroup_beneath():
    def paths(*flags):
        made = plan(config(linux__cgroupsPath="/a"), on=host(), cgroup=list(flags))
        return {
            step.hierarchy.rpartition("/")[2]: "".join(
                getattr(piece, "_value", piece) for piece in getattr(step.path, "pieces", [step.path])
            )
            for step in steps(made, "host", "OpenCgroup")
        }

    assert {path for name, path in paths("sub").items() if name != "unified"} == {"/a/sub"} and paths("sub")[
        "unified"
    ] == "/a"
    some = paths("cpu,memory:x/y", "pids:z")
    assert (some["cpu"], some["memory"], some["pids"], some["freezer"]) == ("/a/x/y", "/a/x/y", "/a/z", "/a")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["a", "b"], '--cgroup "a": expected CONTROLLER:CGROUP, because the flag is repeated'),
        (["cpu:a", "cpu:b"], '--cgroup "cpu:b": expected each controller once, and none without a name'),
        ([":a"], '--cgroup ":a": expected each controller once, and none without a name'),
        (["cpu,:a"], '--cgroup "cpu,:a": expected each controller once, and none without a name'),
        (["../up"], '--cgroup "../up": expected a path without ..'),
        (["cpu:a/../.."], '--cgroup "cpu:a/../..": expected a path without ..'),
        (["rdma:a"], "--cgroup: this host has no cgroup hierarchy with the controller rdma"),
    ],
)
def test_cgroups_that_cannot_be(flags, message):
    with pytest.raises(RequestError) as caught:
        plan(on=host(), cgroup=flags)
    assert str(caught.value) == message


# ---- the process from flags ----


def test_the_command():
    made = plan(command=["sh", "-c", ""])
    assert last(made, "init", "FindExecutable") == {"args": ["sh", "-c", ""], "env": ["PATH=/bin"]}
    with pytest.raises(RequestError, match="exec needs a command, or --process FILE"):
        plan(command=[])
    with pytest.raises(RequestError, match="the container's config.json has no process"):
        plan(config(process=...))


def test_flags_change_the_containers_process():
    members = config(process__user={"uid": 1, "gid": 2, "additionalGids": [3], "umask": 0o27}, process__cwd="/a")
    made = plan(
        members,
        cwd="/b",
        env=["A=1", "B=x=y"],
        user="5:6",
        additional_gids=["7", "8"],
        no_new_privs="1",
        preserve_fds="2",
    )
    assert last(made, "init", "FindExecutable")["env"] == ["PATH=/bin", "A=1", "B=x=y"]
    assert last(made, "init", "SetUser") == {"uid": 5, "gid": 6, "groups": ["3", "7", "8"]}
    assert last(made, "init", "ChangeDirectory") == {"path": "/b"} and last(made, "init", "SetUmask") == {"mask": 0o27}
    assert "SetNoNewPrivileges" in names(made, "init")
    assert last(made, "init", "PrepareExec")["preserve"] == last(made, "init", "CloseDescriptors")["preserve"] == 2
    assert last(plan(members, user="5"), "init", "SetUser")["gid"] == 2
    assert "MakeDirectory" not in names(made, "init")


@pytest.mark.parametrize("in_config", [None, False, True])
@pytest.mark.parametrize("flag", [None, "1", "0"])
def test_no_new_privs_by_the_flag_or_by_the_config(flag, in_config):
    """As with runc, a flag that is given counts, even with =false."""
    members = config() if in_config is None else config(process__noNewPrivileges=in_config)
    made = plan(members, no_new_privs=flag) if flag else plan(members)
    assert ("SetNoNewPrivileges" in names(made, "init")) == (flag == "1" if flag else bool(in_config))


@pytest.mark.parametrize(
    "words, message",
    [
        ({"user": "root"}, '--user "root": expected UID or UID:GID, in numbers'),
        ({"user": "1:"}, '--user "1:": expected UID or UID:GID, in numbers'),
        ({"user": "4294967296"}, '--user "4294967296": expected UID or UID:GID, in numbers'),
        ({"user": "-1"}, '--user "-1": expected UID or UID:GID, in numbers'),
        ({"additional_gids": ["1", "x"]}, '--additional-gids "x": expected the number of a group'),
        ({"env": ["A"]}, '--env "A": expected NAME=VALUE'),
        ({"env": ["=A"]}, '--env "=A": expected NAME=VALUE'),
        ({"preserve_fds": "x"}, '--preserve-fds "x": expected a number of descriptors'),
        (
            {"tty": "1", "detach": "1"},
            "--console-socket: found none, expected a socket: cannot allocate tty if ocirt will detach "
            "without setting console socket",
        ),
        (
            {"tty": "1", "console_socket": "/s"},
            "--console-socket: found a socket, expected none: cannot use console socket if "
            "ocirt will not detach or allocate tty",
        ),
    ],
)
def test_flags_that_cannot_be(words, message):
    with pytest.raises(RequestError) as caught:
        plan(**words)
    assert str(caught.value) == message


def test_the_terminal_is_the_flags_alone():
    assert "MakeConsole" not in names(plan(config(process__terminal=True)), "init")
    made = plan(config(process__consoleSize={"height": 20, "width": 30}), tty="1")
    assert last(made, "init", "MakeConsole") == {"fd": -1, "uid": 0, "height": 20, "width": 30, "device": 0}
    detached = plan(tty="1", detach="1", console_socket="/s")
    assert last(detached, "init", "MakeConsole")["fd"] == steps(detached, "host", "OpenSocket")[0].fd


def test_further_capabilities():
    """As runc: in the bounding, permitted and effective sets, ambient too where some are inheritable."""
    kill, chown = BITS["CAP_KILL"], BITS["CAP_CHOWN"]
    sets = {name: ["CAP_KILL"] for name in ("bounding", "permitted", "effective")}
    made = plan(config(process__capabilities=sets), cap=["CAP_CHOWN"])
    assert last(made, "init", "DropBounding") == {"keep": kill | chown}
    assert last(made, "init", "SetCapabilities") == {
        "effective": kill | chown,
        "permitted": kill | chown,
        "inheritable": 0,
        "ambient": 0,
    }
    inheritable = {"inheritable": ["CAP_KILL", "CAP_CHOWN"], **sets}
    made = plan(config(process__capabilities=inheritable | {"bounding": ["CAP_KILL", "CAP_CHOWN"]}), cap=["CAP_CHOWN"])
    assert last(made, "init", "SetCapabilities")["ambient"] == chown
    assert "ignoring unknown capabilities: CAP_NO" in last(plan(cap=["CAP_NO"]), "host", "Warn")["message"]


def test_labels():
    on = no_cgroups(has_apparmor=True, has_selinux=True)
    made = plan(config(process__apparmorProfile="old"), on=on, apparmor="new", process_label="a:b")
    assert shown(made, "init", "WriteProc") == [
        ("WriteProc", {"file": "self/attr/apparmor/exec", "value": "exec new"}),
        ("WriteProc", {"file": "self/attr/exec", "value": "a:b"}),
    ]
    # They are written through the procfs that is open, which must be closed before the directory is looked up.
    order = names(made, "init")
    assert names(made, "stage")[0] == "OpenProc" and order.index("WriteProc") < order.index(
        "CloseDescriptors"
    ) < order.index("ChangeDirectory")
    inherited = plan(config(process__apparmorProfile="old"), own=FILE, on=on)
    assert shown(inherited, "init", "WriteProc") == [
        ("WriteProc", {"file": "self/attr/apparmor/exec", "value": "exec old"})
    ]


# ---- the process from a file ----


def test_a_process_file_is_the_process():
    own = {
        "terminal": False,
        "cwd": "/w",
        "args": ["ls", "-l"],
        "env": ["X=y"],
        "noNewPrivileges": True,
        "user": {"uid": 9, "gid": 8, "additionalGids": [7], "umask": 0o77},
        "oomScoreAdj": 0,
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}],
        "capabilities": {"bounding": ["CAP_KILL"]},
    }
    made = plan(
        config(process__cwd="/other", process__oomScoreAdj=5), own=own, command=(), user="1:1", env=["A=b"], cwd="/flag"
    )
    assert last(made, "init", "FindExecutable") == {"args": ["ls", "-l"], "env": ["X=y"]}
    assert last(made, "init", "SetUser") == {"uid": 9, "gid": 8, "groups": ["7"]}
    assert last(made, "init", "SetUmask") == {"mask": 0o77} and last(made, "init", "ChangeDirectory") == {"path": "/w"}
    assert last(made, "init", "DropBounding") == {"keep": BITS["CAP_KILL"]}
    assert last(made, "init", "SetRlimit")["name"] == "RLIMIT_CORE"
    assert last(made, "stage", "SetOomScore") == {"value": "0"}
    assert "SetNoNewPrivileges" in names(made, "init")


def test_what_a_file_has_not_is_the_containers():
    members = config(
        process__rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 2}],
        process__oomScoreAdj=5,
        process__terminal=True,
        process__capabilities={"bounding": ["CAP_KILL"]},
        process__scheduler={"policy": "SCHED_BATCH"},
        process__ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 3},
        process__noNewPrivileges=True,
        process__user={"uid": 3, "gid": 4, "umask": 0o11},
        process__execCPUAffinity={"initial": "0", "final": "1"},
    )
    made = plan(members, own={"cwd": "/", "args": ["ls"], "rlimits": []}, command=())
    for section, kind in (
        ("init", "SetRlimit"),
        ("init", "SetScheduler"),
        ("init", "SetIoPriority"),
        ("stage", "SetOomScore"),
        ("init", "SetUmask"),
        ("stage", "SetAffinity"),
        ("init", "SetAffinity"),
    ):
        assert kind in names(made, section), kind
    assert last(made, "init", "DropBounding") == {"keep": BITS["CAP_KILL"]}
    # Not these.
    assert (
        last(made, "init", "SetUser") == {"uid": 0, "gid": 0, "groups": []}
        and last(made, "init", "FindExecutable")["env"] == []
    )
    assert not {"MakeConsole", "SetNoNewPrivileges"} & set(names(made, "init"))
    # An object without a set is an answer: none.
    assert last(plan(members, own=FILE | {"capabilities": {}}), "init", "DropBounding") == {"keep": 0}


def test_limits_and_scores_of_the_container_hold_for_what_flags_make():
    made = plan(config(process__oomScoreAdj=7, process__rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 2}]))
    assert (
        last(made, "stage", "SetOomScore") == {"value": "7"} and last(made, "init", "SetRlimit")["name"] == "RLIMIT_CPU"
    )


@pytest.mark.parametrize("has_user", [True, False])
def test_limits_are_raised_before_a_user_namespace_is_joined(has_user):
    """In the stage, which still has the runtime's rights."""
    added = spaces("mount", "user") | MAPPED if has_user else spaces("mount")
    made = plan(config(process__rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 2}], **added))
    order = names(made, "stage")
    assert ("RaiseLimit" in order) == has_user
    if has_user:
        assert order.index("RaiseLimit") < order.index("JoinContainer")
        assert last(made, "stage", "RaiseLimit") == {"resource": 0, "hard": 2, "name": "RLIMIT_CPU"}


def program(own, data=None, **words):
    """compile_program for a process file's bytes, as the launcher has it."""
    given = {"verb": "exec", "id": "c1", "root": "/run/ocirt", "process": "/p.json", **words}
    created = {
        "verb": "create",
        "id": "c1",
        "root": "/run/ocirt",
        "bundle": "/bundle",
        "cgroup-manager": "disabled",
        "rootless": "true",
    }
    return compile_program(given, ["true"], own, data or json.dumps(config(**USER)).encode(), created, "{}")


@pytest.mark.parametrize(
    "own, message",
    [
        (b"", "--process /p.json: line 1 column 1: found the end, expected a value"),
        (b"[]", "--process /p.json: found an array, expected an object"),
        (b'{"args": ["a"]}', "--process /p.json: cwd: found nothing, expected a string"),
        (b'{"cwd": "x", "args": ["a"]}', '--process /p.json: cwd: found "x", expected an absolute path'),
        (b'{"cwd": "/"}', "--process /p.json: args: found nothing, expected an array of strings"),
        (b'{"cwd": "/", "args": []}', "--process /p.json: args: found [], expected at least the program"),
        (b'{"cwd": "/", "args": ["a", 1]}', "--process /p.json: args[1]: found 1, expected a string"),
        (
            b'{"cwd": "/", "args": ["a"], "user": {"uid": 1, "gid": -1}}',
            "--process /p.json: user.gid: found -1, expected a number from 0 to 4294967294",
        ),
        (
            b'{"cwd": "/", "args": ["a"], "rlimits": [{"type": "X", "soft": 1, "hard": 1}]}',
            '--process /p.json: rlimits[0].type: found "X", expected a resource of getrlimit(2), like RLIMIT_NOFILE',
        ),
        (
            b'{"cwd": "/", "args": ["a"], "execCPUAffinity": {"final": "3-1"}}',
            '--process /p.json: execCPUAffinity.final: found "3-1", expected CPUs from 0 to 8191 like 0-3,7',
        ),
    ],
)
def test_process_files_that_cannot_be(own, message):
    with pytest.raises(RequestError) as caught:
        program(own)
    assert str(caught.value) == message


def test_errors_name_the_flag_or_the_config():
    with pytest.raises(RequestError, match='^--cwd: found "x", expected an absolute path$'):
        program(None, cwd="x")
    with pytest.raises(ConfigError, match="^config.json: process.cwd: found nothing"):
        program(None, json.dumps(config(process__cwd=..., **USER)).encode())


def test_a_good_one_is_a_program():
    assert program(json.dumps(FILE).encode()).startswith(b"ocirtprg")


# ---- the rest ----


def test_affinity():
    """config.md, Linux Process, execCPUAffinity: initial before the transition to the container's cgroup, final after it;
    without final nothing is changed then."""
    made = plan(config(process__execCPUAffinity={"initial": "0-1,65", "final": "3"}), on=host())
    (initial,), (final,) = steps(made, "stage", "SetAffinity"), steps(made, "init", "SetAffinity")
    assert int.from_bytes(initial.cpus, "little") == 0b11 | 1 << 65 and len(initial.cpus) == 16
    assert int.from_bytes(final.cpus, "little") == 1 << 3
    order = names(made, "init")
    assert order.index("SetAffinity") > max(i for i, name in enumerate(order) if name == "JoinCgroup")
    only = plan(config(process__execCPUAffinity={"initial": "0", "final": ""}))
    assert "SetAffinity" not in names(only, "init") and "SetAffinity" in names(only, "stage")


SECCOMP = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}
NOTIFY = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "listenerPath": "/agent",
    "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
}


def test_the_containers_seccomp_filter_holds():
    made = plan(config(linux__seccomp=SECCOMP))
    order = names(made, "init")
    assert order[order.index("LoadSeccomp") :] == ["LoadSeccomp", "Exec"]
    order = names(plan(config(linux__seccomp=SECCOMP), own=FILE | {"noNewPrivileges": True}), "init")
    assert order[-3:] == ["PrepareExec", "LoadSeccomp", "Exec"]


@pytest.mark.parametrize("late", [True, False])
def test_an_agent_is_told_the_process(late):
    made = plan(config(linux__seccomp=NOTIFY), own=FILE | {"noNewPrivileges": late})
    assert names(made, "host")[-5:] == ["Receive", "Close", "Send", "Receive", "Release"]
    assert shown(made, "host", "Send") == [("Send", {"event": KNOWN})]
    assert shown(made, "init", "Receive")[0] == ("Receive", {"event": KNOWN})
    load = last(made, "init", "LoadNotifyingSeccomp")
    assert load["status"] == "running" and last(made, "init", "CloseDescriptors")["keep"] == load["socket"]
    assert set(facts(made)) == {"oci_version", "id", "bundle", "rootfs", "annotations", "request"}


def test_the_plan_depends_on_these_alone():
    """What a kept program would hold for: config.json, the process file, the flags, and what was looked at."""
    made = plan(config(process__args=["x"], process__hostname="h"), own=FILE, command=())
    assert {path for path in made.trace.slots if path.startswith("--process")} >= {
        "--process.args",
        "--process.cwd",
        "--process.env",
    }
    flagged = plan(command=["a", "b"], cwd="/x", env=["A=1"])
    assert {"$command", "$cwd", "$env", "process.env"} <= set(flagged.trace.slots)
    assert "process.args" not in flagged.trace.slots
