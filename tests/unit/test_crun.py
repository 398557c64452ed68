"""crun's annotations, as crun.1 describes them ("Extensions to OCI")."""

from base64 import b64encode

import pytest

from ocirt.compile.namespaces import TIME
from ocirt.errors import ConfigError, HostError
from ocirt.model import crun
from ocirt.model.host import Host
from tests.unit.plans import config, names, no_cgroups, plan, shown, steps, values

ALLOW_ALL = bytes.fromhex("060000000000ff7f")
"""One instruction: return SECCOMP_RET_ALLOW."""
PROFILE = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod"], "action": "SCMP_ACT_NOTIFY"}]}


def compiled(on: Host | None = None, annotations=None, kept=None, **changes):
    return plan(config(annotations=annotations or {}, **changes), on, kept)


def user(made):
    (step,) = steps(made, "init", "SetUser")
    return values(step)


def refused(match, error=ConfigError, **changes):
    with pytest.raises(error, match=match):
        compiled(**changes)


@pytest.mark.parametrize("value", ["1", "true"])
def test_the_callers_groups_are_kept(value):
    made = compiled(annotations={crun.KEEP_GROUPS: value}, process__user={"uid": 1, "gid": 2, "additionalGids": [3]})
    assert (user(made).get("setgroups"), user(made)["groups"]) == (0, [])
    assert made.trace.guards['annotations["run.oci.keep_original_groups"]'] == value


@pytest.mark.parametrize("annotations", [{}, {crun.KEEP_GROUPS: "0"}, {crun.KEEP_GROUPS: ""}])
def test_the_callers_groups_are_dropped(annotations):
    made = compiled(annotations=annotations, process__user={"uid": 1, "gid": 2, "additionalGids": [3]})
    assert (user(made).get("setgroups", 1), user(made)["groups"]) == (1, ["3"])


@pytest.mark.parametrize("context", crun.CONTEXTS)
def test_mount_context_type(context):
    on = no_cgroups(has_selinux=True)
    mounts = [{"destination": "/t", "type": "tmpfs", "source": "tmpfs"}]
    made = compiled(on, {crun.MOUNT_CONTEXT: context}, mounts=mounts, linux__mountLabel="a:b:c:s0")
    (fields,) = [fields for _, fields in shown(made, "init", "Mount")]
    assert f"{context}=a:b:c:s0" in fields["options"]


def test_pidfd_receiver():
    made = compiled(annotations={crun.PIDFD_RECEIVER: "/run/s"})
    (opened,), (sent,) = steps(made, "host", "OpenSocket"), steps(made, "host", "SendPidfd")
    assert values(opened) == {"fd": sent.fd, "path": "/run/s"}
    host = names(made, "host")
    assert host.index("OpenSocket") < host.index("Spawn") < host.index("SendPidfd") < host.index("Commit")


def test_pidfd_receiver_beside_the_flag():
    made = plan(config(annotations={crun.PIDFD_RECEIVER: "/run/s"}), pidfd_socket="/run/t")
    assert [values(step)["path"] for step in steps(made, "host", "OpenSocket")] == ["/run/t", "/run/s"]
    assert [step.fd for step in steps(made, "host", "SendPidfd")] == [
        step.fd for step in steps(made, "host", "OpenSocket")
    ]


def test_unknown_system_calls_fail():
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["chmod", "nosuch"], "action": "SCMP_ACT_ERRNO"}],
    }
    compiled(linux__seccomp=profile)
    refused(
        r'linux\.seccomp\.syscalls\[0\]\.names\[1\]: found "nosuch", expected a system call that libseccomp knows',
        linux__seccomp=profile,
        annotations={crun.FAIL_UNKNOWN_SYSCALL: "1"},
    )


def test_a_kept_filter_does_not_hide_an_unknown_system_call():
    class Filters:
        def find(self, profile):
            return 0b111111, ALLOW_ALL

        def made(self, *_):
            raise AssertionError("a profile that is refused is not kept")

    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["nosuch"], "action": "SCMP_ACT_ERRNO"}]}
    compiled(kept=Filters(), linux__seccomp=profile)
    refused("nosuch", kept=Filters(), linux__seccomp=profile, annotations={crun.FAIL_UNKNOWN_SYSCALL: "1"})


@pytest.mark.parametrize("profile", [None, PROFILE])
def test_seccomp_bpf_data_takes_the_place_of_the_rules(profile):
    made = compiled(annotations={crun.SECCOMP_DATA: b64encode(ALLOW_ALL).decode()}, linux__seccomp=profile)
    (step,) = steps(made, "exec_program", "LoadSeccomp")
    assert (step.filter, step.at) == (ALLOW_ALL, crun.at(crun.SECCOMP_DATA))


def test_seccomp_bpf_data_as_base64_prints_it():
    """In lines, with one at the end."""
    encoded = b64encode(ALLOW_ALL).decode()
    made = compiled(annotations={crun.SECCOMP_DATA: f"{encoded[:4]}\n{encoded[4:]}\n"})
    (step,) = steps(made, "exec_program", "LoadSeccomp")
    assert step.filter == ALLOW_ALL


def test_seccomp_bpf_data_with_a_receiver():
    data = b64encode(ALLOW_ALL).decode()
    annotations = {crun.SECCOMP_DATA: data, crun.SECCOMP_RECEIVER: "/agent"}
    made = compiled(annotations=annotations)
    (step,) = steps(made, "init", "LoadNotifyingSeccomp")
    (opened,) = steps(made, "host", "OpenSocket")
    assert (step.filter, values(opened)["path"]) == (ALLOW_ALL, "/agent")
    refused(
        r'annotations\["run\.oci\.seccomp\.receiver"\]: this kernel has no notification of system calls',
        HostError,
        on=no_cgroups(seccomp_flags=0),
        annotations=annotations,
    )


def test_seccomp_receiver_is_the_listener_where_the_profile_names_none():
    def path(**more):
        made = compiled(annotations={crun.SECCOMP_RECEIVER: "/agent"}, linux__seccomp={**PROFILE, **more})
        (opened,) = steps(made, "host", "OpenSocket")
        return values(opened)["path"], opened.at

    assert path() == ("/agent", crun.at(crun.SECCOMP_RECEIVER))
    assert path(listenerPath="/other") == ("/other", "linux.seccomp.listenerPath")


def test_time_offset():
    namespaces = [{"type": "mount"}, {"type": "time"}]
    made = compiled(annotations={crun.TIME_OFFSET: "monotonic -10 5"}, linux__namespaces=namespaces)
    (step,) = steps(made, "stage", "WriteTimeOffsets")
    assert (values(step)["offsets"], step.at) == ("monotonic -10 5\n", crun.at(crun.TIME_OFFSET))
    assert TIME in [values(each)["flags"] for each in steps(made, "stage", "Unshare")]
    refused("time namespace", annotations={crun.TIME_OFFSET: "7 1 0"})


@pytest.mark.parametrize(
    "name, value",
    [
        (crun.KEEP_GROUPS, "yes"),
        (crun.FAIL_UNKNOWN_SYSCALL, "2"),
        (crun.PIDFD_RECEIVER, "relative"),
        (crun.SECCOMP_RECEIVER, ""),
        (crun.SECCOMP_DATA, ""),
        (crun.SECCOMP_DATA, "!"),
        (crun.SECCOMP_DATA, "AAAA"),
        (crun.TIME_OFFSET, "monotonic 1"),
        (crun.TIME_OFFSET, "realtime 1 0"),
        (crun.TIME_OFFSET, "monotonic 1 -1"),
        (crun.TIME_OFFSET, "monotonic 1 1000000000"),
        (crun.TIME_OFFSET, "monotonic 1 \N{ARABIC-INDIC DIGIT ONE}"),
        (crun.TIME_OFFSET, "1 1.5 0"),
        (crun.MOUNT_CONTEXT, "xcontext"),
    ],
)
def test_a_value_that_means_nothing_is_refused_with_its_path(name, value):
    refused(
        rf'annotations\["{name}"\]: found .*, expected ',
        on=no_cgroups(has_selinux=True),
        annotations={name: value},
        linux__seccomp={"defaultAction": "SCMP_ACT_ALLOW"},
        linux__mountLabel="a:b:c:s0",
        mounts=[{"destination": "/t", "type": "tmpfs", "source": "tmpfs"}],
    )
