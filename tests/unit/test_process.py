"""config.md, "Process", "POSIX process", "Linux Process", "User" and "POSIX-platform Hooks"."""

import pytest

from ocirt.compile.capabilities import BITS
from ocirt.errors import ConfigError
from ocirt.model.text import bound
from ocirt.plan.steps import EVENTS
from tests.unit.plans import MAPPED, config, names, no_cgroups, plan, shown, spaces, steps

MOUNTED, HOOKED = EVENTS.index("mounted"), EVENTS.index("hooked")


def error(members, on=None):
    with pytest.raises(ConfigError) as caught:
        plan(members, on)
    return str(caught.value).removeprefix("config.json: ")


# ---- process ----


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"process__args": ...}, "process.args: found nothing, expected an array of strings"),
        ({"process__args": []}, "process.args: found [], expected at least the program"),
        ({"process__args": ["a", 5]}, "process.args[1]: found 5, expected a string"),
        ({"process__cwd": ...}, "process.cwd: found nothing, expected a string"),
        ({"process__cwd": "tmp"}, 'process.cwd: found "tmp", expected an absolute path'),
        ({"process__cwd": ""}, 'process.cwd: found "", expected an absolute path'),
        ({"process__env": "A=b"}, 'process.env: found "A=b", expected an array of strings'),
        ({"process__oomScoreAdj": 1001}, "process.oomScoreAdj: found 1001, expected a number from -1000 to 1000"),
        ({"process__oomScoreAdj": "0"}, 'process.oomScoreAdj: found "0", expected a whole number'),
        ({"process__noNewPrivileges": 1}, "process.noNewPrivileges: found 1, expected true or false"),
        ({"process__capabilities": []}, "process.capabilities: found an array, expected an object"),
    ],
)
def test_processes_that_cannot_be(changes, message):
    assert error(config(**changes)) == message


def test_the_console_size_counts_with_a_terminal_only():
    plan(config(process__consoleSize={"height": "x"}))
    with pytest.raises(ConfigError, match=r'process.consoleSize.height: found "x", expected a whole number'):
        plan(config(process__consoleSize={"height": "x"}, process__terminal=True), verb="run")


def test_the_directory_is_made_before_the_root_is_entered():
    order = names(plan(config(process__cwd="/work")), "init")
    assert order.index("MakeDirectory") < order.index("PivotRoot") < order.index("ChangeDirectory")
    assert shown(plan(config(process__cwd="/work")), "init", "ChangeDirectory", "MakeDirectory") == [
        ("MakeDirectory", {"path": "/work", "mode": 0o755}),
        ("ChangeDirectory", {"path": "/work", "retry_later": 1}),
        ("ChangeDirectory", {"path": "/work"}),
    ]


def test_the_user():
    made = plan(config(process__user={"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o27}))
    assert shown(made, "init", "SetUser", "SetUmask") == [
        ("SetUser", {"uid": 7, "gid": 8, "groups": ["9", "10"]}),
        ("SetUmask", {"mask": 0o27}),
    ]


def test_without_a_user_it_is_root():
    assert shown(plan(config(process__user=...)), "init", "SetUser") == [
        ("SetUser", {"uid": 0, "gid": 0, "groups": []})
    ]


def test_without_a_umask_it_stays_the_runtimes():
    """Which is 0022 whatever the caller's is (tests/integration/test_inherited.py)."""
    assert "SetUmask" not in names(plan(config()), "init")


def test_the_oom_score():
    assert shown(plan(config(process__oomScoreAdj=-5)), "init", "SetOomScore") == [("SetOomScore", {"value": "-5"})]


def test_privileges_go_one_after_the_other():
    order = names(
        plan(
            config(
                process__noNewPrivileges=True,
                process__oomScoreAdj=5,
                process__user__umask=0,
                process__rlimits=[{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
            )
        ),
        "init",
    )
    assert order.index("SetOomScore") < order.index("SetDumpable")
    assert order[order.index("SetRlimit") :] == [
        "SetRlimit",
        "CloseDescriptors",
        "ChangeDirectory",
        "FindHome",
        "DropBounding",
        "SetUser",
        "SetCapabilities",
        "SetNoNewPrivileges",
        "SetUmask",
        "ChangeDirectory",
        "FindExecutable",
        "Send",
    ]


def test_nothing_is_done_under_the_filter():
    """config-linux.md, Seccomp: a profile names what the program needs, not what the runtime does before it. Without
    noNewPrivileges the filter takes CAP_SYS_ADMIN, which is lent until the program is executed."""
    made = plan(
        config(
            process__capabilities={name: ["CAP_KILL"] for name in ("bounding", "permitted", "effective")},
            linux__seccomp={"defaultAction": "SCMP_ACT_ALLOW"},
        )
    )
    order = names(made, "init")
    assert order[order.index("ChangeDirectory") :] == [
        "ChangeDirectory",
        "FindHome",
        "DropBounding",
        "SetUser",
        "SetCapabilities",
        "ChangeDirectory",
        "FindExecutable",
        "Send",
    ]
    (lent,) = steps(made, "init", "SetCapabilities")
    assert lent.permitted == lent.effective == KILL | BITS["CAP_SYS_ADMIN"]
    assert names(made, "exec_program") == ["RestoreOpenFiles", "PrepareExec", "LoadSeccomp", "Exec"]


def test_arguments_and_environment_are_list_slots():
    made = plan(config(process__args=["a", "", "é"], process__env=["A=b"]), preserve_fds="3")
    assert shown(made, "exec_program") == [
        ("RestoreOpenFiles", {}),
        ("PrepareExec", {"preserve": 3}),
        ("Exec", {"args": ["a", "", "é"]}),
    ]
    assert made.exec_program[2].args.path == "process.args" and "process.args" not in made.trace.guards
    assert made.trace.tests["process.args", "is_empty", None] is False


def test_no_environment():
    assert shown(plan(config(process__env=...)), "init", "FindExecutable")[0][1]["env"] == []


# ---- rlimits ----


def test_rlimits():
    unlimited = (1 << 64) - 1
    made = plan(
        config(
            process__rlimits=[
                {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2},
                {"type": "RLIMIT_RTTIME", "soft": unlimited, "hard": unlimited},
            ]
        )
    )
    assert shown(made, "init", "SetRlimit") == [
        ("SetRlimit", {"resource": 7, "soft": 1, "hard": 2, "name": "RLIMIT_NOFILE"}),
        ("SetRlimit", {"resource": 15, "soft": unlimited, "hard": unlimited, "name": "RLIMIT_RTTIME"}),
    ]


LIMITED = {"process__rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]}
RAISED = ("RaiseLimit", {"resource": 7, "hard": 2, "name": "RLIMIT_NOFILE"})


def test_only_the_runtime_can_raise_limits_above_its_own_for_a_user_namespace():
    """Init waits for the event "mapped", so that its limits are raised before it sets them."""
    made = plan(config(**LIMITED, **MAPPED, **spaces("mount", "user")))
    host = shown(made, "host")
    assert host.index(RAISED) == [name for name, _ in host].index("Send") - 1
    order = names(made, "init")
    assert order.index("Receive") < order.index("SetRlimit") and "RaiseLimit" not in order


def test_the_limits_of_a_child_that_a_stage_makes_are_raised_from_outside():
    made = plan(config(**LIMITED, **MAPPED, **spaces("mount", "user", "network=/ns/n")))
    order = names(made, "host")
    assert order.index("Spawn") < order.index("Receive") < order.index("RaiseLimit") < order.index("Send")
    assert "RaiseLimit" not in names(made, "stage")


def test_the_stage_raises_its_limits_before_it_joins_a_user_namespace():
    made = plan(config(**LIMITED, **spaces("mount", "user=/ns/u")))
    order = names(made, "stage")
    assert order.index("RaiseLimit") < order.index("JoinNamespace") and RAISED in shown(made, "stage")
    assert "RaiseLimit" not in names(made, "host")


def test_without_a_user_namespace_init_itself_may_raise_its_limits():
    made = plan(config(**LIMITED, **spaces("mount", "network=/ns/n")))
    assert "RaiseLimit" not in names(made, "host") + names(made, "stage") + names(made, "init")
    assert "SetRlimit" in names(made, "init")


@pytest.mark.parametrize(
    "limits, message",
    [
        (
            [{"type": "RLIMIT_FOO", "soft": 1, "hard": 1}],
            'process.rlimits[0].type: found "RLIMIT_FOO", expected a resource of getrlimit(2), like RLIMIT_NOFILE',
        ),
        (
            [{"type": "NOFILE", "soft": 1, "hard": 1}],
            'process.rlimits[0].type: found "NOFILE", expected a resource of getrlimit(2), like RLIMIT_NOFILE',
        ),
        (
            [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2,
            'process.rlimits[1].type: found "RLIMIT_CPU" a second time, expected each type once',
        ),
        ([{"type": "RLIMIT_CPU", "soft": 1}], "process.rlimits[0].hard: found nothing, expected a whole number"),
        (
            [{"type": "RLIMIT_CPU", "soft": -1, "hard": 1}],
            f"process.rlimits[0].soft: found -1, expected a number from 0 to {(1 << 64) - 1}",
        ),
    ],
)
def test_rlimits_that_cannot_be(limits, message):
    assert error(config(process__rlimits=limits)) == message


# ---- capabilities ----

KILL, CHOWN, RESOURCE, BPF = (BITS[f"CAP_{name}"] for name in ("KILL", "CHOWN", "SYS_RESOURCE", "BPF"))


def capabilities(on=None, **sets):
    """What a config with these sets of names becomes: the bits that are granted, and what is warned of."""
    made = plan(
        config(process__capabilities={name: [f"CAP_{each}" for each in value.split()] for name, value in sets.items()}),
        on,
    )
    (drop,), (set_,) = steps(made, "init", "DropBounding"), steps(made, "init", "SetCapabilities")
    return (drop.keep, set_.permitted, set_.inheritable, set_.effective, set_.ambient), [
        step.message for step in steps(made, "host", "Warn")
    ]


def test_the_five_sets():
    assert capabilities(
        bounding="KILL CHOWN", permitted="KILL CHOWN", inheritable="KILL", effective="CHOWN", ambient="KILL"
    ) == ((KILL | CHOWN, KILL | CHOWN, KILL, CHOWN, KILL), [])


def test_numbers_are_the_kernels():
    assert BITS["CAP_CHOWN"] == 1 and BITS["CAP_SYS_ADMIN"] == 1 << 21 and BITS["CAP_CHECKPOINT_RESTORE"] == 1 << 40


def test_without_capabilities_there_are_none():
    """As runc: not those of the runtime."""
    for members in (config(), config(process__capabilities={})):
        made = plan(members)
        assert shown(made, "init", "DropBounding", "SetCapabilities") == [
            ("DropBounding", {"keep": 0}),
            ("SetCapabilities", {"effective": 0, "permitted": 0, "inheritable": 0, "ambient": 0}),
        ]


def test_unknown_names_are_warned_of():
    bits, warnings = capabilities(bounding="KILL FOO", effective="FOO bar")
    assert bits[0] == KILL
    assert warnings == ["process.capabilities: ignoring unknown capabilities: CAP_FOO CAP_bar"]


def test_what_the_runtime_lacks_is_warned_of():
    lacking = no_cgroups(permitted=KILL, bounding=KILL | CHOWN)
    bits, warnings = capabilities(
        lacking, bounding="KILL CHOWN SYS_RESOURCE", permitted="KILL CHOWN", effective="KILL CHOWN"
    )
    assert bits == (KILL | CHOWN, KILL, 0, KILL, 0)
    assert warnings == [
        "process.capabilities: ignoring capabilities that cannot be granted: "
        "bounding CAP_SYS_RESOURCE, permitted CAP_CHOWN, effective CAP_CHOWN; the runtime itself lacks CAP_CHOWN CAP_SYS_RESOURCE"
    ]


def test_what_capset_would_refuse_is_warned_of():
    bits, warnings = capabilities(
        bounding="KILL", permitted="KILL", inheritable="CHOWN", effective="CHOWN", ambient="CHOWN"
    )
    assert bits == (KILL, KILL, 0, 0, 0)
    assert warnings == [
        "process.capabilities: ignoring capabilities that cannot be granted: "
        "inheritable CAP_CHOWN, effective CAP_CHOWN, ambient CAP_CHOWN"
    ]


def test_ambient_without_inheritable_is_left_out_in_silence():
    """`runc spec` writes such a config."""
    assert capabilities(bounding="KILL", permitted="KILL", ambient="KILL") == ((KILL, KILL, 0, 0, 0), [])


def test_a_user_namespace_gives_all_that_the_kernel_knows():
    ids = [{"containerID": 0, "hostID": 1, "size": 1}]
    made = plan(
        config(
            process__capabilities={"bounding": ["CAP_SYS_RESOURCE", "CAP_BPF"]},
            linux__uidMappings=ids,
            linux__gidMappings=ids,
            linux__namespaces=[{"type": "mount"}, {"type": "user"}],
        ),
        no_cgroups(permitted=0, bounding=0, last_capability=37),
    )
    assert steps(made, "init", "DropBounding")[0].keep == RESOURCE
    assert [step.message for step in steps(made, "host", "Warn")] == [
        "process.capabilities: ignoring capabilities that cannot be granted: bounding CAP_BPF; the runtime itself lacks CAP_BPF"
    ]


def test_warnings_come_before_anything_is_spawned():
    order = names(plan(config(process__capabilities={"bounding": ["CAP_X"]})), "host")
    assert order.index("Warn") < order.index("Spawn")


# ---- hooks ----

POINTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def test_all_points():
    made = plan(
        config(
            hooks={point: [{"path": f"/{point}", "args": ["a", "b"], "env": ["C=d"], "timeout": 5}] for point in POINTS}
        )
    )

    def hook(point, status, **more):
        return (
            "RunHook",
            {"path": f"/{point}", "args": ["a", "b"], "env": ["C=d"], "timeout": 5, "status": status, **more},
        )

    rows = shown(made, "host")
    at = rows.index(("Receive", {"event": MOUNTED}))
    assert rows[at + 1 : at + 4] == [
        hook("prestart", "created"),
        hook("createRuntime", "created"),
        ("Send", {"event": HOOKED}),
    ]
    rows = shown(made, "init")
    at = rows.index(("Send", {"event": MOUNTED}))
    assert rows[at + 1 : at + 4] == [
        ("Receive", {"event": HOOKED}),
        hook("createContainer", "created"),
        ("PivotRoot", {}),
    ]
    assert (
        shown(made, "exec_program")[1] == hook("startContainer", "created")
        and names(made, "exec_program")[2] == "PrepareExec"
    )
    assert shown(made, "after_start") == [hook("poststart", "running")]
    assert shown(made, "delete")[-1] == hook("poststop", "stopped", warn=1)
    assert made.after_start[0].at == "hooks.poststart[0]"


@pytest.mark.parametrize(
    "point, expected",
    [
        ("prestart", True),
        ("createRuntime", True),
        ("createContainer", True),
        ("startContainer", False),
        ("poststart", False),
    ],
)
def test_both_sides_wait_only_where_there_is_a_hook_to_wait_for(point, expected):
    made = plan(config(hooks={point: [{"path": "/h"}]}))
    for section in ("host", "init"):
        events = {fields["event"] for _, fields in shown(made, section, "Send", "Receive")}
        assert ({MOUNTED, HOOKED} <= events) == expected


def test_a_bare_hook():
    """Without env it has the runtime's own environment, or inside the container the process'; an empty env is one."""
    hook = {"path": "/h", "args": [], "env": [], "timeout": 0, "status": "running"}
    assert shown(plan(config(hooks={"poststart": [{"path": "/h"}]})), "after_start") == [
        ("RunHook", {**hook, "inherit": 1})
    ]
    assert shown(plan(config(hooks={"poststart": [{"path": "/h", "env": []}]})), "after_start") == [("RunHook", hook)]
    made = plan(config(hooks={"startContainer": [{"path": "/h"}]}, process__env=["A=b"]))
    assert shown(made, "exec_program", "RunHook") == [("RunHook", {**hook, "env": ["A=b"], "status": "created"})]


def test_a_user_without_numbers_is_root():
    """uid and gid are Go's zero where they are absent: every peer takes it so, and the schema asks for neither."""
    for user, ids in (({}, (0, 0)), ({"uid": 5}, (5, 0)), ({"gid": 5}, (0, 5))):
        (step,) = steps(plan(config(process__user=user)), "init", "SetUser")
        assert (bound(step.uid), bound(step.gid)) == ids


def test_hooks_in_their_order():
    made = plan(config(hooks={"poststop": [{"path": f"/{name}"} for name in "ba"]}))
    assert [fields["path"] for _, fields in shown(made, "delete", "RunHook")] == ["/b", "/a"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(
    "hook, message",
    [
        ({}, "path: found nothing, expected a string"),
        ({"path": "bin/h"}, 'path: found "bin/h", expected an absolute path'),
        ({"path": "/h", "timeout": 0}, "timeout: found 0, expected a number of seconds, at least 1"),
        ({"path": "/h", "timeout": -1}, "timeout: found -1, expected a number of seconds, at least 1"),
        ({"path": "/h", "args": [1]}, "args[0]: found 1, expected a string"),
    ],
)
def test_hooks_that_cannot_be(point, hook, message):
    assert error(config(hooks={point: [{"path": "/ok"}, hook]})) == f"hooks.{point}[1].{message}"
