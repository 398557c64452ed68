"""checkpoint and restore: criu's messages, what is left to the runtime, and the plan of a restore."""

import json
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirt.cli import checkpoint
from ocirt.compile.mounts import AHEAD
from ocirt.compile.restore import Restored
from ocirt.criu import executable, external
from ocirt.criu.message import DUMP, NOTIFY, OPTIONS, REQUEST, RESPONSE, RESTORE, decode, encode
from ocirt.criu.talk import last_error, logged
from ocirt.errors import ConfigError, HostError, OcirtError, RequestError
from ocirt.helpers import criu as helper
from ocirt.model.config import parse
from ocirt.model.text import bound
from ocirt.plan.encode import encode as encode_plan
from tests.unit import plans
from tests.unit.plans import config, facts, host, names, no_cgroups, request, steps, v2, values

TEXT = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]))
PAIRS = st.lists(st.fixed_dictionaries({"key": TEXT, "val": TEXT}), min_size=1, max_size=1)


# ---- messages ----


def test_the_bytes():
    """As protoc's own encoder writes them, and criu 3.17 answers a request for its version."""
    assert encode(REQUEST, {"type": 10}) == b"\x08\n"
    assert encode(
        REQUEST,
        {
            "type": DUMP,
            "opts": {"images_dir_fd": -1, "pid": 300, "log_file": "d", "leave_running": False, "root": None},
        },
    ) == (b"\x08\x01\x12\x13\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\xac\x02R\x01d\x18\x00")
    assert encode(OPTIONS, {"external": ["a", "b"]}) == b"\xaa\x02\x01a\xaa\x02\x01b"
    assert decode(RESPONSE, b"\x08\n\x10\x01R\x06\x08\x03\x10\x11 \x01") == {"type": 10, "success": 1}
    assert decode(RESPONSE, b"\x08\x06\x10\x01*\x08\n\x03abc\x10\xac\x02") == {
        "type": 6,
        "success": 1,
        "notify": {"script": "abc", "pid": 300},
    }


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "pid": st.integers(0, (1 << 63) - 1),
            "leave_running": st.booleans(),
            "root": TEXT,
            "ext_mnt": PAIRS,
            "ps": st.fixed_dictionaries({"address": TEXT, "port": st.integers(1, 65535)}),
        },
    )
)
def test_what_is_written_is_read(options):
    read = decode(REQUEST, encode(REQUEST, {"type": DUMP, "opts": options}))
    assert read == {
        "type": DUMP,
        "opts": {name: value[0] if isinstance(value, list) else value for name, value in options.items()},
    }


@given(st.binary())
def test_any_bytes_are_read_or_refused(data):
    try:
        assert isinstance(decode(RESPONSE, data), dict)
    except ValueError as error:
        assert "criu" in str(error)


def test_the_line_that_tells_why(tmp_path):
    log = b"(1) x\n(2) Error (criu/a.c:1): first\n(3) Warn (b)\n(4) Error (criu/a.c:2): second\n(5) Error (criu/a.c:3): Dumping FAILED.\n"
    assert last_error(log) == "Error (criu/a.c:2): second"
    assert last_error(b"(5) Error (criu/a.c:3): Dumping FAILED.\n") == "Error (criu/a.c:3): Dumping FAILED."
    assert last_error(b"nothing") == ""
    (tmp_path / "log").write_bytes(log)
    assert logged(f"{tmp_path}/log") == "Error (criu/a.c:2): second" and logged(f"{tmp_path}/none") == ""


def test_finding_criu(tmp_path, monkeypatch):
    search = f"/nowhere:{tmp_path}"
    with pytest.raises(OcirtError, match="executable file not found"):
        executable(None, search)
    (tmp_path / "criu").touch(0o644)
    with pytest.raises(OcirtError, match="executable file not found"):
        executable(None, search)
    (tmp_path / "criu").chmod(0o755)
    assert executable(None, search) == executable("criu", search) == f"{tmp_path}/criu"
    monkeypatch.chdir(tmp_path)
    assert executable("./criu", "") == f"{tmp_path}/criu"
    with pytest.raises(RequestError, match="--criu /x/criu: found no such executable"):
        executable("/x/criu", search)


# ---- what is the host's ----


def restored(members, on=None, **words):
    return Restored(
        parse(json.dumps(members).encode()), request(verb="restore", detach="1", **words), on or no_cgroups()
    )


def test_mounts_of_the_host(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/kcore").touch()
    (tmp_path / "proc/acpi").mkdir()
    members = config(
        mounts=[
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/data", "source": "data", "options": ["rbind"]},
            {"destination": "/other", "type": "bind", "source": "/src"},
        ],
        linux__maskedPaths=["/proc/kcore", "/proc/acpi", "/proc/none"],
    )
    made = restored(members)
    assert external.to_save(str(tmp_path), made.mounts, made.config, made.namespaces) == [
        {"key": "/data", "val": "/data"},
        {"key": "/other", "val": "/other"},
        {"key": "/proc/kcore", "val": "/dev/null"},
    ]
    assert external.to_restore("/bundle/rootfs", made.mounts, made.config, made.namespaces) == [
        {"key": "/data", "val": "/bundle/data"},
        {"key": "/other", "val": "/src"},
        {"key": "/dev/null", "val": "/dev/null"},
    ]


def test_cgroup_mounts_of_v1():
    made = restored(config(mounts=[{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}]), host())
    found = external.to_restore("/r", made.mounts, made.config, made.namespaces)
    assert {"key": "/sys/fs/cgroup/memory", "val": "/sys/fs/cgroup/memory/c1"} in found and len(found) == 9


def test_namespaces_of_the_host(tmp_path):
    (tmp_path / "net").touch()
    spaces = [
        {"type": "mount"},
        {"type": "network", "path": str(tmp_path / "net")},
        {"type": "pid", "path": "/p"},
        {"type": "ipc", "path": "/i"},
    ]
    made = restored(config(linux__namespaces=spaces))
    assert external.namespaces_to_restore(made.namespaces) == (
        [{"ns": "ipc", "ns_file": "/i"}],
        {"extRootNetNS": str(tmp_path / "net"), "extRootPidNS": "/p"},
    )
    net = restored(config(linux__namespaces=spaces[:2])).namespaces
    assert external.namespaces_to_save(net) == [f"net[{os.stat(tmp_path / 'net').st_ino}]:extRootNetNS"]
    with pytest.raises(ConfigError, match="found a cgroup namespace to join"):
        external.namespaces_to_restore(
            restored(config(linux__namespaces=[{"type": "mount"}, {"type": "cgroup", "path": "/c"}])).namespaces
        )
    for spaces in ([{"type": "pid"}], [{"type": "mount", "path": "/m"}]):
        with pytest.raises(ConfigError, match="found no mount namespace of the container's own"):
            external.check(restored(config(linux__namespaces=spaces)).namespaces)


# ---- the conversation of restore ----


def conversation(monkeypatch, data, *answers, terminal=None):
    """What a helper makes of criu's ``answers``: its result, what criu got, and the descriptors that came on the console."""
    criu, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    console, ours = socket.socketpair()
    monkeypatch.setattr(helper, "CRIU", os.dup(theirs.fileno()))
    monkeypatch.setattr(helper, "CONSOLE", ours.fileno())
    with criu, theirs, console, ours:
        for answer in answers:
            is_terminal = answer.get("notify", {}).get("script") == "orphan-pts-master"
            socket.send_fds(criu, [encode(RESPONSE, answer)], [terminal] if is_terminal else [])
        criu.shutdown(socket.SHUT_WR)
        result = helper.run({"log": "/no/log", **data})
        criu.setblocking(False)
        console.setblocking(False)
        got = []
        while True:
            try:
                got.append(decode(REQUEST, criu.recv(4096)))
            except BlockingIOError:
                break
        try:
            _, descriptors, *_ = socket.recv_fds(console, 16, 4)
        except BlockingIOError:
            descriptors = []
        return result, got, descriptors


def at_point(script, **more):
    return {"type": NOTIFY, "success": True, "notify": {"script": script, **more}}


GO_ON = {"type": NOTIFY, "notify_success": True}


def test_a_talk_begins_with_the_request_and_ends_where_criu_waits(monkeypatch):
    data = {"request": {"type": RESTORE}, "until": "setup-namespaces"}
    answers = at_point("pre-restore"), at_point("setup-namespaces", pid=77)
    assert conversation(monkeypatch, data, *answers) == (77, [{"type": RESTORE}, GO_ON], [])


def test_a_talk_goes_on_to_the_end(monkeypatch):
    answers = at_point("post-resume"), {"type": RESTORE, "success": True}
    assert conversation(monkeypatch, {"until": ""}, *answers) == (0, [GO_ON, GO_ON], [])


def test_the_terminal_goes_to_the_console(monkeypatch, tmp_path):
    with open(tmp_path / "terminal", "w") as file:
        answers = at_point("orphan-pts-master"), at_point("post-restore", pid=5)
        result, _, (terminal,) = conversation(monkeypatch, {"until": "post-restore"}, *answers, terminal=file.fileno())
        assert result == 5 and os.path.sameopenfile(terminal, file.fileno())
        os.close(terminal)


@pytest.mark.parametrize(
    "answer, text",
    [
        ({"type": RESTORE, "success": False, "cr_errmsg": "Error (a.c:1): no\nmore"}, "criu: Error (a.c:1): no"),
        ({"type": RESTORE, "success": False}, "criu: Error (b.c:2): logged"),
        ({}, "criu: Error (b.c:2): logged"),
        ({"type": DUMP, "success": True}, "criu: its answer has the unexpected type 1"),
    ],
)
def test_a_talk_that_fails_says_why(monkeypatch, tmp_path, answer, text):
    (tmp_path / "log").write_text("(0) Error (b.c:2): logged\n(1) Error (b.c:3): Restoring FAILED.\n")
    with pytest.raises(OcirtError) as caught:
        conversation(monkeypatch, {"until": "", "log": str(tmp_path / "log")}, *([answer] if answer else []))
    assert str(caught.value).startswith(text)


# ---- the plan ----

CRIU = {"path": "/usr/sbin/criu", "env": ["PATH=/bin"], "images": "/i", "images_fd": 7, "work": "", "work_fd": -1}


def plan(members, on=None, **words):
    made = restored(members, on, **words).compile(
        "/run/ocirt/c1/criu-root", {"type": RESTORE}, "/i/restore.log", **CRIU
    )
    encode_plan(made, "0" * 32)
    return made


def test_the_steps():
    made = plan(config(hooks={"createRuntime": [{"path": "/hook"}], "poststart": [{"path": "/hook"}]}), pid_file="/pid")
    assert names(made, "host") == [
        "StoreContainer",
        "Spawn",
        "MeetCriu",
        "TalkToCriu",
        "RunHook",
        "TalkToCriu",
        "RunWithin",  # which makes the rootfs private
        "TalkToCriu",
        "Close",
        "FinishRestore",
        "WritePidFile",
    ]
    talks = [json.loads(bound(step.data)) for step in steps(made, "host", "TalkToCriu")]
    assert talks == [
        {"request": {"type": RESTORE}, "until": "setup-namespaces", "log": "/i/restore.log"},
        {"until": "post-restore", "log": "/i/restore.log"},
        {"until": "", "log": "/i/restore.log"},
    ]
    assert names(made, "stage") == ["ResetAffinity", "SetPropagation", "OpenRootfs", "PlaceCriuRoot", "ExecCriu"]
    assert not (made.init or made.exec_program or made.after_start)
    assert names(made, "in_restored_mntns") == ["JoinContainer", "EnterRoot", "SetMountAttributes"]
    (spawn,), (criu,) = steps(made, "host", "Spawn"), steps(made, "stage", "ExecCriu")
    assert (spawn.section, spawn.flags) == ("stage", 0x20000) and values(criu) == CRIU


def test_cgroups_and_limits_come_first():
    """As in create: the process that becomes criu enters them, and all that it makes is born there."""
    made = plan(config(linux__cgroupsPath="/ct", linux__resources={"pids": {"limit": 9}}), host())
    assert names(made, "host").index("WriteCgroup") < names(made, "host").index("Send")
    stage = names(made, "stage")
    assert stage[:2] == ["Receive", "JoinCgroup"] and stage.index("OpenRootfs") > max(
        n for n, name in enumerate(stage) if name == "JoinCgroup"
    )
    (spawn,) = steps(plan(config(linux__cgroupsPath="/ct"), v2()), "host", "Spawn")
    assert spawn.cgroup != -1
    for section in ("signal", "pause", "resume", "delete"):
        assert names(made, section)
    assert facts(made)["id"] == "c1"


@pytest.mark.parametrize("has_user", [True, False])
def test_criu_may_set_limits_in_a_user_namespace(has_user):
    """It sets those of the images in the container's user namespace, where nobody may raise a hard limit."""
    added = plans.spaces("mount", "user") | plans.MAPPED if has_user else plans.spaces("mount")
    made = plan(config(process__rlimits=[{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}], **added))
    assert ("RaiseLimit" in names(made, "stage")) is has_user and "SetRlimit" not in names(made, "stage")


def test_the_loopback_device():
    """criu leaves that of a new network namespace down; one that is joined is another's."""
    spaces = [{"type": "mount"}, {"type": "network"}]
    made = plan(config(linux__namespaces=spaces))
    assert names(made, "in_criu_netns") == ["JoinContainer", "LoopbackUp"]
    assert names(made, "host")[3:6] == ["TalkToCriu", "RunWithin", "TalkToCriu"]
    spaces[1]["path"] = "/net"
    assert names(plan(config(linux__namespaces=spaces)), "in_criu_netns") == []


def test_a_root_that_is_read_only_stays_so():
    made = plan(config(root__readonly=True))
    assert names(made, "in_restored_mntns") == ["JoinContainer", "EnterRoot", "SetMountAttributes"]
    assert names(made, "host")[3:7] == ["TalkToCriu", "TalkToCriu", "RunWithin", "TalkToCriu"]


def test_mount_points():
    """Binds are mounted, for points within them; what lies in a tmpfs comes from the images, cgroups are criu's."""
    made = plan(
        config(
            mounts=[
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
                {"destination": "/dev/x", "type": "bind", "source": "/x"},
                {"destination": "/data", "type": "bind", "source": "/d"},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"},
            ]
        )
    )
    assert [
        (type(step).__name__, bound(step.path if hasattr(step, "path") else step.target))
        for step in steps(made, "stage", "MakeDirectory", "Bind")
    ] == [("MakeDirectory", "/proc"), ("MakeDirectory", "/dev"), ("Bind", "/data")]


def test_what_is_handed_over_is_received_where_it_is_not_mounted_too():
    """The events come in the order of the config, whatever is made of each."""
    ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    binds = [
        {
            "destination": f"/d{number}",
            "source": "/s",
            "options": ["bind", "idmap"],
            "uidMappings": ids,
            "gidMappings": ids,
        }
        for number in range(AHEAD)
    ]
    late = [{**binds[0], "destination": path} for path in ("/tmp/inside", "/late")]
    made = plan(config(mounts=[*binds, {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}, *late]))
    host = names(made, "host")
    spawned = host[host.index("Spawn") : host.index("TalkToCriu")]
    assert spawned == ["Spawn", *["MakeIdMapping", "OpenMount", "Send"] * 2, "MeetCriu"]
    assert names(made, "stage")[-8:] == [
        "MakeDirectory",
        "Receive",
        "Close",
        "Close",
        "Receive",
        "Bind",
        "Close",
        "ExecCriu",
    ]


def test_a_terminal_needs_a_socket():
    members = config(process__terminal=True)
    with pytest.raises(RequestError, match="--console-socket"):
        plan(members)
    made = plan(members, console_socket="/s")
    (opened,), talks = steps(made, "host", "OpenSocket"), steps(made, "host", "TalkToCriu")
    assert [step.console for step in talks] == [opened.fd] * 3


def test_no_process():
    with pytest.raises(ConfigError, match="process"):
        plan(config(process=...))


def test_status_fd(tmp_path):
    assert checkpoint._status_fd(None) is None
    with open(tmp_path / "file", "w") as file:
        assert checkpoint._status_fd(file.fileno()) == file.fileno()
    with open(tmp_path / "file") as file, pytest.raises(RequestError, match=f"--status-fd {file.fileno()}"):
        checkpoint._status_fd(file.fileno())


def test_the_host_must_have_what_a_flag_needs(tmp_path):
    from ocirt.criu.talk import need

    (tmp_path / "criu").write_text("#!/bin/sh\necho 'Error (criu/x.c:1): broken' >&2\nexit 1\n")
    (tmp_path / "criu").chmod(0o755)
    with pytest.raises(
        HostError, match=r"--pre-dump: criu cannot say what it and the kernel support: Error \(criu/x.c:1\): broken"
    ):
        need(str(tmp_path / "criu"), "mem_track", "--pre-dump")


def test_a_criu_that_says_nothing(tmp_path, monkeypatch):
    """As one that has been stopped: it is given a time, and then ended."""
    from ocirt.criu import talk

    (tmp_path / "criu").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "criu").chmod(0o755)
    monkeypatch.setattr(talk, "SECONDS", 0.1)
    with pytest.raises(OcirtError, match=r"process \d+ sent nothing for 0.1 s and was killed"):
        talk.ask(str(tmp_path / "criu"), {})
