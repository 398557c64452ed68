"""The annotations org.ocirt.landlock and org.ocirt.coresched restrict a container further, if the caller lets them."""

import ctypes
import errno

import pytest

from ocirt import Container, OcirtError, Pool, Sandbox, run
from tests.integration.library import config_for
from tests.integration.sandboxes import describe

LANDLOCK, CORESCHED = "org.ocirt.landlock", "org.ocirt.coresched"
FLAG = "--hardening-annotations"
PR_SCHED_CORE, CREATE = 62, 1


@pytest.fixture
def ruled(bundle):
    """Gives the bundle a script and Landlock's words."""

    def change(script, words, **process):
        bundle.shell(script)
        bundle.config["root"]["readonly"] = False
        bundle.config["process"].update({"noNewPrivileges": True, **process})
        bundle.config["annotations"] = {LANDLOCK: words}
        return bundle.save()

    return change


def test_directories(ocirt, bundle, ruled):
    """Only below the named ones, and only so: a file is written, read or executed there and nowhere else."""
    (bundle.rootfs / "data").mkdir()
    (bundle.rootfs / "data/given").write_text("given\n")
    script = """
        echo x > /tmp/new && cat /tmp/new; echo x > /data/new; cat /data/given; cat /proc/self/status
        cp /bin/busybox /tmp/busybox; /tmp/busybox true; ls /
    """
    ruled(script, "execute:/bin write:/tmp read:/data")
    result = ocirt("run", FLAG, "--bundle", bundle, "c1")
    assert result.out == "x\ngiven\n", result
    assert "can't create /data/new: Permission denied" in result.err
    assert "/proc/self/status': Permission denied" in result.err or "/proc/self/status: Permission denied" in result.err
    assert "/tmp/busybox: Permission denied" in result.err


def test_exec_is_restricted_too(ocirt, bundle, ruled):
    ruled("exec sleep 60", "execute:/bin write:/tmp")
    ocirt.ok("run", FLAG, "--detach", "--bundle", bundle, "c1")
    assert ocirt("exec", "c1", "sh", "-c", "echo x > /tmp/there").status == 0
    result = ocirt("exec", "c1", "sh", "-c", "echo x > /there")
    assert result.status != 0 and "Permission denied" in result.err
    ocirt.ok("delete", "--force", "c1")


def test_ports(ocirt, bundle, ruled):
    script = "nc -l -p 8080 -e true & sleep 0.2; nc -w 1 127.0.0.1 8080 </dev/null && echo reached; nc -l -p 81; nc 127.0.0.1 82"
    ruled(script, "bind:8080 connect:8080")
    result = ocirt("run", FLAG, "--bundle", bundle, "c1")
    assert result.out == "reached\n" and result.err.count("Permission denied") == 2, result


def test_with_an_init_and_a_filter_that_notifies_nothing(ocirt, bundle, ruled):
    ruled("echo x > /there; echo done", "execute:/bin write:/tmp")
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["landlock_restrict_self", "landlock_create_ruleset"], "action": "SCMP_ACT_ERRNO"}],
    }
    bundle.save()
    result = ocirt("run", FLAG, "--init", "--bundle", bundle, "c1")
    assert result.out == "done\n" and "Permission denied" in result.err, "the profile is loaded afterwards"


def test_not_without_the_callers_flag(ocirt, bundle, ruled):
    ruled("echo x > /there; echo done", "execute:/bin")
    result = ocirt("run", "--bundle", bundle, "c1")
    assert result.out == "done\n" and "it works only with --hardening-annotations" in result.err


@pytest.mark.parametrize(
    "words, process, message",
    [
        ("read:usr", {}, 'found "read:usr", expected words like'),
        ("connect:70000", {}, 'found "connect:70000", expected words like'),
        ("all:/", {}, 'found "all:/", expected words like'),
        ("read:/", {"noNewPrivileges": False}, "process.noNewPrivileges: found false, expected true"),
        ("read:/nosuch", {}, "open the directory /nosuch: openat: no such file or directory"),
    ],
)
def test_wrong_words(ocirt, bundle, ruled, words, process, message):
    ruled("true", words, **process)
    assert message in ocirt("run", FLAG, "--bundle", bundle, "c1").err.replace('\\"', '"')


def test_core_scheduling(ocirt, bundle):
    """With it the container runs; a kernel or a processor without it is named, and nothing runs."""
    bundle.shell("echo done").config["annotations"] = {CORESCHED: "1"}
    bundle.save()
    library = ctypes.CDLL(None, use_errno=True)
    # Asking for the cookie of a process (PR_SCHED_CORE_GET) with a wrong address tells whether the kernel has it.
    library.prctl(PR_SCHED_CORE, 0, 0, 0, 1)
    result = ocirt("run", FLAG, "--bundle", bundle, "c1")
    if ctypes.get_errno() in (errno.EINVAL, errno.ENODEV) and result.status:
        assert "core scheduling" in result.err and "prctl" in result.err and result.out == "", result
    else:
        assert result.out == "done\n", result
    bundle.config["annotations"] = {CORESCHED: "yes"}
    bundle.save()
    assert 'found "yes", expected "1"' in ocirt("run", FLAG, "--bundle", bundle, "c1").err.replace('\\"', '"')


COMMAND, WORDS = ["sh", "-c", "echo x > /tmp/x; cat /etc/passwd"], ["execute:/bin", "write:/tmp"]


def with_an_argument(image, runtime):
    return run(config=config_for(*COMMAND), rootfs=image, runtime=runtime, landlock=WORDS)


def with_the_config(image, runtime):
    return run(config=config_for(*COMMAND, landlock=WORDS), rootfs=image, runtime=runtime)


def in_a_container(image, runtime):
    given = {"config": config_for("sleep", "60"), "rootfs": image, "runtime": runtime, "landlock": WORDS}
    with Container.create(**given) as container:
        container.start()
        return container.run(COMMAND)


def in_a_sandbox(image, runtime):
    return describe(Sandbox, image, runtime, landlock=WORDS).run(COMMAND)


def in_a_pool(image, runtime):
    with Pool(config_for("unused", landlock=WORDS), rootfs=image, size=1, runtime=runtime) as pool:
        return pool.run(COMMAND)


@pytest.mark.cgroupfs
@pytest.mark.cgroups
@pytest.mark.parametrize("way", [with_an_argument, with_the_config, in_a_container, in_a_sandbox, in_a_pool])
def test_the_library(image, runtime, way):
    result = way(image, runtime)
    assert result.returncode == 1 and b"/etc/passwd" in result.stderr and b"Permission denied" in result.stderr, result
    assert b"/tmp/x" not in result.stderr


@pytest.mark.cgroupfs
@pytest.mark.cgroups
def test_core_scheduling_of_the_library(image, runtime):
    """The argument arrives at the runtime: the plan of a sandbox has the step, and a kernel without it is named."""
    box = describe(Sandbox, image, runtime, coresched=True)
    assert "MakeCoreCookie" in box.plan(["true"])
    for call in (
        lambda: box.run(["true"]),
        lambda: run(config=config_for("true"), rootfs=image, runtime=runtime, coresched=True),
    ):
        try:
            assert call().returncode == 0
        except OcirtError as error:
            assert "core scheduling" in str(error)
