"""``ocirt run --explain`` names what the seccomp profile refuses, and ``--record`` writes the profile that a run needs."""

import json
import subprocess

import pytest

from tests.integration.harness import LIMIT
from tests.processor import SCMP_ARCH

ERRNO, ALLOW, KILL = "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"
USED = ["mkdir", "mkdirat"]
"""By busybox's mkdir, one or the other."""
CHANGES = ["chmod", "fchmodat"]
"""The same of its chmod."""


@pytest.fixture
def profiled(bundle):
    """Gives the bundle a profile and a script."""

    def change(script, profile):
        bundle.config["root"]["readonly"] = False
        bundle.shell(script)
        bundle.config["linux"]["seccomp"] = profile
        return bundle.save()

    return change


def said(result):
    """Standard error, without the quotes of log lines."""
    return result.err.replace('\\"', '"')


def refusing(*names, action=ERRNO, **more):
    return {"defaultAction": ALLOW, "syscalls": [{"names": list(names), "action": action, **more}]}


def test_each_call_that_is_refused_is_named_with_its_arguments(ocirt, bundle, profiled):
    profiled("mkdir -m 750 /tmp/made; mkdir -m 750 /tmp/made; chmod 640 /etc; exit 7", refusing(*USED, errnoRet=28))
    result = ocirt("run", "--explain", "--bundle", bundle, "c1")
    assert result.status == 7, result
    lines = [line for line in said(result).splitlines() if "linux.seccomp" in line]
    assert len(lines) == 1, "the same call a second time is not news"
    assert "linux.seccomp.syscalls[0]: mkdir" in lines[0] and '"/tmp/made"' in lines[0]
    assert "fails: no space left on device" in lines[0]
    assert said(result).count("No space left on device") == 2 and not (bundle.rootfs / "tmp/made").exists()


def test_a_call_that_a_signal_answers(ocirt, bundle, profiled):
    profiled("mkdir /tmp/made", refusing(*USED, action=KILL))
    result = ocirt("run", "--explain", "--bundle", bundle, "c1")
    assert result.status == 128 + 9 and "ends the program (SIGKILL)" in said(result), result
    assert ocirt.ids() == []


def test_the_default_action_is_named_where_no_rule_is(ocirt, bundle, profiled, tmp_path):
    """And a profile that --record has written is enough for what it was recorded from, and for nothing else."""
    profiled("mkdir /tmp/made; rmdir /tmp/made; echo done", refusing("reboot"))
    recorded = tmp_path / "recorded.json"
    assert ocirt("run", "--record", recorded, "--bundle", bundle, "c1").out == "done\n"
    profile = json.loads(recorded.read_text())
    assert profile["defaultAction"] == ERRNO and profile["architectures"] == [SCMP_ARCH]
    (rule,) = profile["syscalls"]
    assert rule["action"] == ALLOW and "execve" in rule["names"] and {*USED} & {*rule["names"]}
    assert not {"setns", "mount", "unshare", "pivot_root", "reboot", "socket"} & {*rule["names"]}
    profiled("mkdir /tmp/made; rmdir /tmp/made; echo done", profile)
    again = ocirt("run", "--bundle", bundle, "c1")
    assert (again.status, again.out, again.err) == (0, "done\n", "")
    profiled("chmod 700 /tmp; echo done", profile)
    result = ocirt("run", "--explain", "--bundle", bundle, "c1")
    assert 'linux.seccomp.defaultAction: newfstatat(AT_FDCWD, "/tmp", ' in said(result), result


def test_each_recorded_call_is_needed(ocirt, bundle, profiled, tmp_path):
    """Of the smallest profile nothing can go: whatever is taken out of it is refused to the same program."""
    profiled("echo done", refusing("reboot"))
    recorded = tmp_path / "recorded.json"
    ocirt("run", "--record", recorded, "--bundle", bundle, "c1")
    profile = json.loads(recorded.read_text())
    names = profile["syscalls"][0]["names"]
    assert len(names) < 40
    for name in [each for each in names if each not in ("execve", "exit_group")]:
        profile["syscalls"][0]["names"] = [each for each in names if each != name]
        profiled("echo done", profile)
        result = ocirt("run", "--explain", "--bundle", bundle, "c1")
        assert f"linux.seccomp.defaultAction: {name}(" in said(result), (name, result)


def test_what_the_profile_refuses_is_not_recorded(ocirt, bundle, profiled, tmp_path):
    """Except with its error, where that is another one; and arguments that the profile looks at stay the ones used."""
    umask = {"names": ["umask"], "action": ERRNO, "args": [{"index": 0, "value": 0o77, "op": "SCMP_CMP_EQ"}]}
    profile = refusing(*USED, errnoRet=28)
    profile["syscalls"].append(umask)
    profiled("umask 022; umask 077; mkdir /tmp/made", profile)
    recorded = tmp_path / "recorded.json"
    result = ocirt("run", "--explain", "--record", recorded, "--bundle", bundle, "c1")
    assert "No space left" in said(result) and "linux.seccomp.syscalls[1]: umask(63)" in said(result)
    rules = json.loads(recorded.read_text())["syscalls"]
    assert [rule.get("errnoRet") for rule in rules if {*rule["names"]} & {*USED}] == [28]
    values = [rule["args"][0]["value"] for rule in rules if rule["names"] == ["umask"]]
    assert 0o22 in values and 0o77 not in values


def test_what_exec_adds_is_explained_too(ocirt, bundle, profiled):
    profiled("echo ready; read word; exit 3", refusing(*USED, errnoRet=28))
    words = ocirt.command("run", "--explain", "--bundle", bundle, "c1")
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(words, text=True, **pipes)
    assert process.stdout.readline() == "ready\n"
    result = ocirt("exec", "c1", "mkdir", "/tmp/x")
    assert "No space left" in said(result)
    _, error = process.communicate("go\n", timeout=LIMIT)
    assert process.returncode == 3 and '\\"/tmp/x\\"' in error


@pytest.mark.parametrize("flag", ["--detach", "--init"])
def test_flags_that_contradict_each_other(ocirt, bundle, profiled, flag):
    profiled("true", refusing(*USED))
    result = ocirt("run", "--explain", flag, "--bundle", bundle, "c1")
    assert result.status == 1 and f"--explain: found {flag} too, expected a run in the foreground" in said(result)


def test_nothing_to_explain(ocirt, bundle, profiled, tmp_path):
    profiled("true", {})
    result = ocirt("run", "--explain", "--bundle", bundle, "c1")
    assert result.status == 1 and "linux.seccomp: found nothing, expected a profile" in said(result)
    profiled("true", refusing(*USED, action="SCMP_ACT_NOTIFY") | {"listenerPath": "/x"})
    result = ocirt("run", "--record", tmp_path / "x", "--bundle", bundle, "c1")
    assert result.status == 1 and "expected a profile without an agent of its own" in said(result)


def test_a_program_that_tries_many_times(ocirt, bundle, profiled):
    """Each name is shown so often that a person sees what is wrong, and others still are."""
    profiled("i=0; while [ $i -lt 60 ]; do mkdir /tmp/$i; i=$((i+1)); done; chmod 640 /etc", refusing(*USED, *CHANGES))
    lines = [
        line for line in said(ocirt("run", "--explain", "--bundle", bundle, "c1")).splitlines() if "seccomp" in line
    ]
    assert len([line for line in lines if "mkdir" in line and "fails: operation not permitted" in line]) == 50
    assert "was refused more often, which is not shown" in lines[50] and "chmod" in lines[51] and len(lines) == 52


def test_a_record_that_nobody_can_write_is_refused_before_the_run(ocirt, bundle, profiled, tmp_path):
    profiled("mkdir /tmp/made", refusing("reboot"))
    result = ocirt("run", "--record", tmp_path / "none/x", "--bundle", bundle, "c1")
    assert result.status == 1 and f"--record {tmp_path}/none/x: no such file or directory" in said(result)
    assert not (bundle.rootfs / "tmp/made").exists()


def test_a_run_that_fails_leaves_the_earlier_record(ocirt, bundle, profiled, tmp_path):
    profiled("true", refusing("reboot"))
    recorded = tmp_path / "recorded.json"
    ocirt.ok("run", "--record", recorded, "--bundle", bundle, "c1")
    first = recorded.read_text()
    bundle.args("/nothing").save()
    assert ocirt("run", "--record", recorded, "--bundle", bundle, "c1").status == 1
    assert recorded.read_text() == first and json.loads(first)["syscalls"]
    bundle.shell("true").save()
    ocirt.ok("run", "--record", recorded, "--bundle", bundle, "c1")
    assert recorded.read_text() == first
    piped = ocirt("run", "--record", "/dev/stdout", "--bundle", bundle, "c1")
    assert json.loads(piped.out) == json.loads(first)
