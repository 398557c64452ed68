"""--init: a small init before the container's program, as `docker run --init` has it."""

import os
import pty
import select
import signal
import subprocess
import time

import pytest

from ocirt import Container, run
from tests.integration.harness import LIMIT
from tests.integration.library import config_for


def wait_for(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    "script, status", [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_the_status_is_the_programs(ocirt, bundle, script, status):
    """128 and the signal's number where a signal has ended it, which it does: the program is no pid 1."""
    bundle.shell(script).save()
    assert ocirt("run", "--init", "--bundle", bundle, "c1").status == status
    assert ocirt.ids() == []


def test_a_signal_without_handler_ends_the_container(ocirt, bundle):
    """Which is lost on a pid 1 that has none."""
    bundle.args("sleep", "60").save()
    for flags, ends in (((), False), (("--init",), True)):
        ocirt.ok("create", *flags, "--bundle", bundle, "c1")
        ocirt.ok("start", "c1")
        ocirt.ok("kill", "c1", "TERM")
        if ends:
            wait_for(lambda: ocirt.status("c1") == "stopped")
        time.sleep(0.2)
        assert (ocirt.status("c1") == "stopped") == ends
        ocirt.ok("delete", "--force", "c1")


def test_signals_are_passed_on(ocirt, bundle):
    """To the program alone, once each, those that are blocked for the init's own life too."""
    script = 'for each in HUP USR1 WINCH CONT TERM; do trap "echo $each >> /tmp/got" $each; done; echo > /tmp/ready; while :; do sleep 0.01; done'
    bundle.shell(script)
    bundle.config["root"]["readonly"] = False
    bundle.save()
    ocirt.ok("create", "--init", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    got, sent = bundle.rootfs / "tmp/got", []
    wait_for((bundle.rootfs / "tmp/ready").exists)
    for name in ("USR1", "HUP", "WINCH", "TERM", "USR1", "CONT"):
        ocirt.ok("kill", "c1", name)
        sent.append(name)
        wait_for(lambda: got.exists() and got.read_text().split() == sent)
    ocirt.ok("kill", "c1", "KILL")
    wait_for(lambda: ocirt.status("c1") == "stopped")


def test_orphans_are_reaped(ocirt, bundle):
    script = "for n in 1 2 3; do (sleep 0.01 &); done; sleep 0.5; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l"
    for flags, zombies in ((), "3"), (("--init",), "0"):
        # Without an init the program, sleep, is the parent of orphans, and waits for none.
        bundle.args("sh", "-c", f"({script} > /tmp/zombies) & exec sleep 1.5")
        bundle.config["root"]["readonly"] = False
        bundle.save()
        ocirt.ok("run", *flags, "--bundle", bundle, "c1")
        assert (bundle.rootfs / "tmp/zombies").read_text().strip() == zombies


def test_processes_of_exec_are_reaped_and_seen(ocirt, bundle):
    bundle.args("sleep", "60").save()
    ocirt.ok("run", "-d", "--init", "--bundle", bundle, "c1")
    assert ocirt("exec", "c1", "sh", "-c", "(sleep 0.01 &); exit 4").status == 4
    wait_for(
        lambda: ocirt.ok("exec", "c1", "sh", "-c", "cat /proc/[0-9]*/stat | grep -c ' Z '; true").out.strip() == "0"
    )
    assert [line.split()[-2:] for line in ocirt.ok("exec", "c1", "ps", "-o", "pid,comm").out.splitlines()[1:3]] == [
        ["1", "ocirt-init"],
        ["2", "sleep"],
    ]


def test_nothing_of_the_host_stays_with_it(ocirt, bundle):
    """Neither a descriptor, nor memory that is shared with the runtime (a journal that the container could forge), nor the
    runtime's command line and environment; and it is under all that the program is under."""
    bundle.args("sleep", "60")
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["keyctl"], "action": "SCMP_ACT_ERRNO"}],
    }
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    bundle.save()
    for nnp in (True, False):  # the filter is loaded after, or before the init is made
        bundle.config["process"]["noNewPrivileges"] = nnp
        bundle.save()
        ocirt.ok("create", "--init", "--bundle", bundle, "c1", env={**os.environ, "SECRET": "of the engine"})
        ocirt.ok("start", "c1")
        pid = ocirt.state("c1")["pid"]
        program = int(open(f"/proc/{pid}/task/{pid}/children").read())
        wait_for(lambda: not os.listdir(f"/proc/{pid}/fd"))  # noqa: B023
        assert open(f"/proc/{pid}/cmdline", "rb").read().rstrip(b"\0") == b"ocirt-init"
        assert open(f"/proc/{pid}/environ", "rb").read().strip(b"\0") == b""
        assert open(f"/proc/{pid}/comm").read() == "ocirt-init\n" and os.readlink(f"/proc/{pid}/cwd") == "/"
        maps = [line.split() for line in open(f"/proc/{pid}/maps")]
        assert [
            row
            for row in maps
            if "s" in row[1] or len(row) > 5 and row[5] not in ("[stack]", "[heap]", "[vsyscall]", "[vdso]", "[vvar]")
        ] == []
        status = {
            each: dict(line.split(":\t", 1) for line in open(f"/proc/{each}/status") if ":\t" in line)
            for each in (pid, program)
        }
        for name in ("Uid", "Gid", "Groups", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"):
            assert status[pid][name] == status[program][name], name
        assert int(status[pid]["Seccomp"]) == 2 and int(status[pid]["NoNewPrivs"]) == nnp
        assert os.stat(f"/proc/{pid}/mem").st_uid == 0  # not dumpable: not its user's to trace
        ocirt.ok("delete", "--force", "c1")


def test_a_filter_that_refuses_the_fork_fails_the_start(ocirt, bundle):
    bundle.args("true")
    bundle.config["process"]["noNewPrivileges"] = True
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["clone"], "action": "SCMP_ACT_ERRNO"}],
    }
    bundle.save()
    assert "--init: fork the program from the init: clone: operation not permitted" in ocirt.fails(
        "run", "--init", "--bundle", bundle, "c1"
    )
    assert ocirt.ids() == []


@pytest.mark.parametrize("refused", [["rt_sigtimedwait"], ["kill"], ["prctl"], ["close_range"]])
def test_a_filter_that_refuses_what_the_init_does(ocirt, bundle, refused):
    """The program runs, and ends, all the same; the init waits meanwhile, and does not spin."""
    os.mkfifo(bundle.rootfs / "fifo")
    bundle.args("cat", "/fifo")
    bundle.config["process"]["noNewPrivileges"] = True
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": refused, "action": "SCMP_ACT_ERRNO"}],
    }
    bundle.save()
    ocirt.ok("run", "-d", "--init", "--bundle", bundle, "c1")
    pid = ocirt.state("c1")["pid"]
    wait_for(lambda: run_state(pid) == "S")
    seen = set()
    for _ in range(20):
        seen.add(run_state(pid))
        time.sleep(0.01)
    assert seen == {"S"}  # one that spins could run at any time
    open(bundle.rootfs / "fifo", "w").close()
    wait_for(lambda: ocirt.status("c1") == "stopped")


def run_state(pid):
    """What a process is doing: S if it waits, R if it runs or could."""
    return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("action", ["SCMP_ACT_ERRNO", None])
def test_the_init_has_the_capabilities_of_the_program(ocirt, bundle, action):
    """Loading a filter without noNewPrivileges takes CAP_SYS_ADMIN, which execve would take away; the init never executes."""
    bundle.config["process"]["noNewPrivileges"] = False
    if action:
        bundle.config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["chmod"], "action": action}],
        }
    bundle.args("sleep", "60").save()
    ocirt.ok("run", "-d", "--init", "--bundle", bundle, "c1")
    found = ocirt.ok(
        "exec", "c1", "grep", "-hE", "^Cap(Inh|Prm|Eff|Bnd|Amb)", "/proc/1/status", "/proc/2/status"
    ).out.splitlines()
    assert len(found) == 10 and found[:5] == found[5:]


def test_without_a_pid_namespace(ocirt, bundle):
    """Orphans come to it as well; and the program does not outlive it."""
    bundle.shell("(sleep 0.01 &); echo $$ > /tmp/pid; exec sleep 60").without_namespace("pid")
    bundle.config["root"]["readonly"] = False
    bundle.save()
    ocirt.ok("run", "-d", "--init", "--bundle", bundle, "c1")
    init = ocirt.state("c1")["pid"]
    wait_for(lambda: (bundle.rootfs / "tmp/pid").exists() and (bundle.rootfs / "tmp/pid").read_text())
    program = int((bundle.rootfs / "tmp/pid").read_text())
    assert open(f"/proc/{program}/stat").read().rpartition(")")[2].split()[1] == str(init)
    wait_for(lambda: open(f"/proc/{init}/task/{init}/children").read().split() == [str(program)])
    pidfd = os.pidfd_open(program)
    ocirt.ok("kill", "c1", "KILL")
    assert select.select([pidfd], [], [], LIMIT)[0]
    os.close(pidfd)


def test_a_program_that_cannot_be_executed(ocirt, bundle):
    """It is the start that fails, with the same words as without an init, and nobody is left."""
    (bundle.rootfs / "bin/broken").write_bytes(b"\x7fELF")
    (bundle.rootfs / "bin/broken").chmod(0o755)
    bundle.args("broken").save()
    plain, init = [ocirt.fails("run", *flags, "--bundle", bundle, "c1") for flags in ((), ("--init",))]
    assert plain.partition("msg=")[2] == init.partition("msg=")[2] and "exec format error" in init
    assert ocirt.ids() == []


def test_ctrl_c_at_a_terminal_comes_once(ocirt, bundle):
    bundle.args(
        "sh", "-c", "trap 'echo one; n=1$n; [ $n = 11 ] && exit 5' INT; echo ready; while :; do sleep 0.05; done"
    )
    bundle.config["process"]["terminal"] = True
    bundle.save()
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [ocirt.executable, "--root", ocirt.root, "run", "--init", "--bundle", str(bundle.path), "c1"],
        stdin=slave,
        stdout=slave,
        stderr=subprocess.DEVNULL,
    )
    os.close(slave)

    def until(text):
        data = b""
        while text not in data:
            assert select.select([master], [], [], LIMIT)[0], data
            data += os.read(master, 1000)
        return data

    until(b"ready")
    os.write(master, b"\3")
    until(b"one")
    time.sleep(0.3)
    assert not select.select([master], [], [], 0)[0]  # no second one
    os.write(master, b"\3")
    assert child.wait(LIMIT) == 5
    os.close(master)


def test_it_is_refused_to_be_saved(ocirt, bundle):
    bundle.args("sleep", "60").save()
    ocirt.ok("run", "-d", "--init", "--bundle", bundle, "c1")
    assert "made with --init" in ocirt.fails("checkpoint", "c1")


# ---- the library ----


def test_the_library_puts_an_init_before_a_program(image, runtime):
    config = config_for("sleep", "60")
    with Container.create(config=config, rootfs=image, runtime=runtime, init=True) as container:
        container.start()
        container.kill(signal.SIGTERM)
        assert container.wait(LIMIT) == 128 + 15
    orphans = config_for(
        "sh", "-c", "(sleep 0.01 &); read a; cat /proc/1/comm; grep -c '^State:.Z' /proc/*/status | grep -c :1$; exit 3"
    )
    result = run(config=orphans, rootfs=image, runtime=runtime, input="\n", init=True)
    assert (result.returncode, result.text) == (3, "ocirt-init\n0\n")
