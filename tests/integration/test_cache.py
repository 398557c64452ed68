"""Kept programs: the second container of a shape is made without an interpreter, and cannot tell."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT, PARENT

LOOK = (
    "grep -vE '^(Pid|NSpid|NSpgid|NSsid|NStgid|Tgid|Ngid|PPid|Vm|Rss|Hugetlb|voluntary|nonvoluntary|SigQ|Mems|Cpus|Threads)' "
    "/proc/self/status; ls /proc/self/fd; env | sort; cat /proc/self/limits; umask; pwd; "
    "cat /proc/self/mountinfo | cut -d' ' -f4-6 | sort; cat /proc/self/attr/current 2>/dev/null; cat /proc/self/oom_score_adj"
)


@pytest.fixture
def cache(tmp_path_factory, ocirt):
    """A cache of the test's own, empty."""
    place = tmp_path_factory.mktemp("cache")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", place], check=True, timeout=LIMIT)
    ocirt.environment = {**os.environ, "OCIRT_CACHE": str(place / "programs")}
    yield place / "programs"
    # A process that compiles ahead may be at work there for a moment.
    subprocess.run(["umount", "--lazy", place], check=True, timeout=LIMIT)


def executed(ocirt, *words):
    """What a command executes, by strace: the names of the files."""
    trace = subprocess.run(
        ["strace", "-f", "-e", "trace=execve,execveat", "-e", "signal=none", *ocirt.command(*words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=ocirt.environment,
    ).stderr
    return re.findall(r'execve\("([^"]+)"', trace)


def test_no_interpreter_the_second_time(ocirt, bundle, cache):
    bundle.args("true").save()
    first = executed(ocirt, "run", "--bundle", bundle, "c1")
    assert len(first) == 3 and "python" in first[1] and first[2] == "/bin/true", first  # (itself again by descriptor)
    bundle.config["hostname"] = "other"
    bundle.config["process"]["env"] = ["PATH=/bin", "A=b"]
    bundle.config["linux"]["cgroupsPath"] += "-2"
    bundle.config["annotations"] = {"created": "today"}
    bundle.args("sh", "-c", "exit 0").save()
    bundle.config["annotations"] = {"created": "tomorrow", "by": "me"}
    executed(ocirt, "run", "--bundle", bundle, "c2")
    bundle.save()
    assert executed(ocirt, "run", "--bundle", bundle, "c3") == [str(ocirt.executable), "/bin/sh"]
    assert len(list(cache.iterdir())) == 2  # with annotations and without


def test_the_container_cannot_tell(ocirt, bundle, cache):
    """design, The miss: /proc/self/status, descriptors, environment, limits, mounts of the first and of the second."""
    bundle.shell(LOOK).save()
    seen = [
        ocirt.ok("run", "--bundle", bundle, "c1", preexec_fn=lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN)).out
        for _ in range(3)
    ]
    assert len(list(cache.iterdir())) == 1
    assert seen[0] == seen[1] == seen[2] and len(seen[0].splitlines()) > 60


def test_exec_starts_no_interpreter_the_second_time(ocirt, bundle, cache, tmp_path):
    """Nor for another container, command and environment, from flags and from a process file."""
    names = []
    for number in (1, 2):
        bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/exec-{number}"
        bundle.args("sleep", "60").save()
        ocirt.ok("run", "--detach", "--bundle", bundle, f"c{number}")
        names.append(f"c{number}")
    file = tmp_path / "process.json"
    file.write_text(json.dumps({"cwd": "/", "args": ["/bin/true"], "env": ["A=1"], "user": {"uid": 1, "gid": 1}}))
    first = executed(ocirt, "exec", "--env", "A=1", "c1", "/bin/true")
    assert len(first) == 3 and "python" in first[1] and first[2] == "/bin/true", first
    assert executed(ocirt, "exec", "--env", "B=1", "--env", "C=2", "c2", "sh", "-c", "exit 0") == [
        str(ocirt.executable),
        "/bin/sh",
    ]
    assert "python" in executed(ocirt, "exec", "--process", file, "c1")[1]
    file.write_text(json.dumps({"cwd": "/bin", "args": ["./true", "x"], "env": [], "user": {"uid": 0, "gid": 5}}))
    assert executed(ocirt, "exec", "--process", file, "c2") == [str(ocirt.executable), "./true"]
    assert ocirt("exec", "c2", "sh", "-c", "exit 7").status == ocirt("exec", "c2", "sh", "-c", "exit 7").status == 7
    before = len(list(cache.iterdir()))
    assert (
        "python" in executed(ocirt, "exec", "--no-cache", "c2", "/bin/true")[1] and len(list(cache.iterdir())) == before
    )


def test_an_exec_that_is_wrong_is_said_as_ever(ocirt, bundle, cache):
    bundle.args("sleep", "60").save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    ocirt.ok("exec", "--cwd", "/", "--env", "A=1", "--user", "0", "c1", "true")
    assert "--cwd: found" in ocirt.fails(
        "exec", "--cwd", "bin", "--env", "A=1", "--user", "0", "c1", "true", status=255
    )
    assert "--env" in ocirt.fails("exec", "--cwd", "/", "--env", "A", "--user", "0", "c1", "true", status=255)
    assert "--user" in ocirt.fails("exec", "--cwd", "/", "--env", "A=1", "--user", "x", "c1", "true", status=255)
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert "stopped" in ocirt.fails("exec", "--cwd", "/", "--env", "A=1", "--user", "0", "c1", "true", status=255)


def test_a_process_of_exec_cannot_tell(ocirt, bundle, cache):
    """The same of exec: of the processes of a miss and of hits."""
    bundle.args("sleep", "60").save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    seen = [
        ocirt.ok("exec", "c1", "sh", "-c", LOOK, preexec_fn=lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN)).out
        for _ in range(3)
    ]
    assert len(list(cache.iterdir())) == 2  # the container's, and this one
    assert seen[0] == seen[1] == seen[2] and len(seen[0].splitlines()) > 60


def test_switched_off(ocirt, bundle, cache):
    bundle.args("true").save()
    ocirt.ok("run", "--no-cache", "--bundle", bundle, "c1")
    assert not cache.exists()
    ocirt.environment["OCIRT_CACHE"] = "off"
    ocirt.ok("run", "--bundle", bundle, "c1")
    assert not cache.exists()


def test_state_is_the_same(ocirt, bundle, cache):
    states = []
    for name in ("first", "other"):
        ocirt.ok("create", "--bundle", bundle, name)
        state = ocirt.state(name)
        stored = json.loads((ocirt.root / name / "state.json").read_text())
        states.append(
            ({key: value for key, value in state.items() if key not in ("id", "pid", "created")}, stored["request"])
        )
        ocirt.ok("delete", "--force", name)
    assert states[0] == states[1]


def test_what_is_wrong_is_said_as_ever(ocirt, bundle, cache):
    """A value that a program does not hold for is a miss, and Python's to explain."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("delete", "--force", "c1")
    for path, value, message in (
        (("hostname",), "x" * 65, "hostname"),
        (("process", "cwd"), "relative", "process.cwd"),
        (("linux", "cgroupsPath"), "/a/../b", "linux.cgroupsPath"),
        (("process", "args"), [], "process.args"),
    ):
        members = json.loads((bundle.path / "config.json").read_text())
        holder = members
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = value
        (bundle.path / "wrong.json").write_text(json.dumps(members))
        assert message in ocirt.fails("create", "--config", bundle.path / "wrong.json", "--bundle", bundle, "c1")
    (bundle.path / "wrong.json").write_text((bundle.path / "config.json").read_text()[:-3])
    assert "line" in ocirt.fails("create", "--config", bundle.path / "wrong.json", "--bundle", bundle, "c1")
    assert ocirt.fails("create", "--bundle", bundle, "a/b")


def test_other_flags_other_programs(ocirt, bundle, cache):
    bundle.args("true").save()
    for flags in ((), ("--no-pivot",), ("--no-new-keyring",), ("--pid-file", str(bundle.path / "pid"))):
        ocirt.ok("run", *flags, "--bundle", bundle, "c1")
        assert executed(ocirt, "run", *flags, "--bundle", bundle, "c1")[-1] == "/bin/true"
    assert len(list(cache.iterdir())) == 4


def test_two_hundred_at_once(ocirt, bundle, cache):
    """Misses that race write whole entries; hits that race run."""
    bundle.args("true").config["linux"].pop("cgroupsPath")
    bundle.config["linux"].pop("resources", None)  # without a cgroup, rules for devices would be a warning
    bundle.save()
    commands = [
        subprocess.Popen(
            ocirt.command("run", "--bundle", bundle, f"c{number}", options=["--cgroup-manager", "disabled"]),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=ocirt.environment,
        )
        for number in range(200)
    ]
    errors = [(command.communicate(timeout=120)[1], command.returncode) for command in commands]
    assert [error for error in errors if error != (b"", 0)] == []
    assert [entry.name for entry in cache.iterdir() if entry.name.startswith(".")] == []


def hits(ocirt):
    rows = json.loads(ocirt.ok("cache", "list", "--format", "json").out)
    return sorted(row["hits"] for row in rows if "hits" in row)


def test_hits_are_counted(ocirt, bundle, cache):
    """Those at once, too; and no process of a container has the entries in its memory."""
    bundle.args("true").config["linux"].pop("cgroupsPath")
    bundle.save()
    free = {"options": ["--cgroup-manager", "disabled"]}
    ocirt.ok("run", "--bundle", bundle, "c1", **free)
    assert hits(ocirt) == [0]
    commands = [
        subprocess.Popen(
            ocirt.command("run", "--bundle", bundle, f"c{number}", **free),
            stdin=subprocess.DEVNULL,
            env=ocirt.environment,
        )
        for number in range(40)
    ]
    assert [command.wait(LIMIT) for command in commands] == [0] * 40
    assert hits(ocirt) == [40]
    ocirt.ok("create", "--bundle", bundle, "c1", **free)
    assert hits(ocirt) == [0, 40]  # create is another verb
    ocirt.ok("delete", "--force", "c1")
    ocirt.ok("create", "--bundle", bundle, "c1", **free)
    assert hits(ocirt) == [1, 40]
    assert str(cache) not in Path(f"/proc/{ocirt.state('c1')['pid']}/maps").read_text()


def test_killed_while_it_keeps(ocirt, bundle, cache):
    """kill -9 of a create that compiles leaves no entry that is not whole."""
    bundle.args("true").save()
    for number in range(15):
        process = subprocess.Popen(
            ocirt.command("run", "--bundle", bundle, "c1"),
            stdin=subprocess.DEVNULL,
            env=ocirt.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.004 * number)
        process.kill()
        process.wait(LIMIT)
        ocirt("delete", "--force", "c1")
        ocirt.ok("run", "--bundle", bundle, "c2")


def test_another_mount_of_cgroups_is_another_host(ocirt, bundle, cache):
    """What compiling looked at on the machine is looked at again: where a hierarchy is mounted no more, it compiles anew."""
    bundle.args("true").save()
    ocirt.ok("run", "--bundle", bundle, "c1")
    assert len(executed(ocirt, "run", "--bundle", bundle, "c1")) == 2
    script = 'mount -t tmpfs tmpfs /sys/fs/cgroup && exec "$@"'
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        script,
        "sh",
        "strace",
        "-f",
        "-e",
        "trace=execve",
        *ocirt.command("run", "--bundle", bundle, "c1"),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, env=ocirt.environment
    )
    assert (
        "@compile" in done.stderr and "this host has no cgroup hierarchy with the controller devices" in done.stderr
    ), done.stderr


def test_a_user_without_privileges_has_a_cache_of_its_own(ocirt, bundle, cache):
    """Or none: what belongs to somebody else is not used."""
    cache.mkdir(mode=0o700)
    os.chown(cache, 1000, 1000)
    bundle.args("true").save()
    ocirt.ok("run", "--bundle", bundle, "c1")
    assert list(cache.iterdir()) == []
    os.chown(cache, 0, 0)
    cache.chmod(0o755)
    ocirt.ok("run", "--bundle", bundle, "c1")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    "closed, expected",
    [((), "run/ocirt-cache"), (("run",), "var/cache/ocirt"), (("run", "var/cache"), "home/.cache/ocirt")],
)
def test_where_programs_are_kept(ocirt, bundle, tmp_path, closed, expected):
    """In the first place that can be had, whether it is a tmpfs or not: on a disk, the second container of a shape needs no
    interpreter either."""
    for place in ("run", "var/cache", "home"):
        (tmp_path / place).mkdir(parents=True)
    binds = [
        f"mount --bind {'-o ro ' if place in closed else ''}{tmp_path}/{place} /{place}"
        for place in ("run", "var/cache")
    ]
    bundle.args("true").save()
    environment = {**os.environ, "OCIRT_CACHE": "", "HOME": str(tmp_path / "home")}
    environment.pop("XDG_RUNTIME_DIR", None)
    environment.pop("XDG_CACHE_HOME", None)

    def run(*flags):
        command = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            " && ".join([*binds, 'exec "$@"']),
            "sh",
            "strace",
            "-f",
            "-e",
            "trace=execve",
            *ocirt.command("--debug", "run", *flags, "--bundle", bundle, "c1"),
        ]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, env=environment
        )
        assert done.returncode == 0, done
        return done.stderr

    first = run()
    assert "@compile" in first and f"/{expected.removeprefix('home/')} has none of this structure" in first, first
    assert len(list((tmp_path / expected).iterdir())) == 1 and (tmp_path / expected).stat().st_mode & 0o777 == 0o700
    second = run()
    assert "@compile" not in second and "no kept program" not in second, second
    assert "no kept program: --no-cache is given" in run("--no-cache")


def with_binds(bundle, tmp_path, *options):
    """Let the config end with bind mounts at /mnt/0, /mnt/1..., each with these options after its own."""
    (bundle.rootfs / "mnt").mkdir(exist_ok=True)
    (tmp_path / "source").touch()
    bundle.config["mounts"] = [
        mount for mount in bundle.config["mounts"] if not mount["destination"].startswith("/mnt/")
    ] + [
        {
            "destination": f"/mnt/{number}",
            "type": "bind",
            "source": str(tmp_path / "source"),
            "options": ["bind", *each],
        }
        for number, each in enumerate(options)
    ]


MOUNTED = r"grep -o ' /mnt/[0-9] [a-z]*' /proc/self/mountinfo"


def wait_for_entries(cache, count):
    end = time.monotonic() + LIMIT
    while len([path for path in cache.iterdir() if re.fullmatch(r"[0-9a-f]{16}\.\d+", path.name)]) < count:
        assert time.monotonic() < end, list(cache.iterdir())
        time.sleep(0.02)


def test_the_second_order_of_mounts_is_a_hit(ocirt, bundle, cache, tmp_path):
    """Python compiles the other orders when the runtime has its program. The mounts are in the order of the config."""
    bundle.shell(MOUNTED).save()
    with_binds(bundle, tmp_path, [], ["ro", "nosuid"], [], [])
    bundle.save()
    assert ocirt.ok("run", "--bundle", bundle, "c1").out == " /mnt/0 rw\n /mnt/1 ro\n /mnt/2 rw\n /mnt/3 rw\n"
    wait_for_entries(cache, 4)
    for place in (0, 2, 3):
        with_binds(bundle, tmp_path, *[["ro", "nosuid"] if number == place else [] for number in range(4)])
        bundle.save()
        expected = "".join([f" /mnt/{number} {'ro' if number == place else 'rw'}\n" for number in range(4)])
        assert ocirt.ok("run", "--bundle", bundle, "c2").out == expected
        assert executed(ocirt, "run", "--bundle", bundle, "c3")[:2] == [str(ocirt.executable), "/bin/sh"]
    assert len(list(cache.iterdir())) == 5  # and the lock


def test_orders_are_compiled_only_if_they_may(ocirt, bundle, cache, tmp_path):
    """Not with OCIRT_AHEAD=off, nor where nothing can be kept."""
    bundle.args("true").save()
    with_binds(bundle, tmp_path, [], ["ro"])
    bundle.save()
    given = ocirt.environment
    ocirt.environment = {**given, "OCIRT_AHEAD": "off"}
    ocirt.ok("run", "--bundle", bundle, "c1")
    assert len(list(cache.iterdir())) == 1
    ocirt.environment = {**given, "OCIRT_CACHE": str(cache / "none"), "OCIRT_AHEAD": ""}
    (cache / "none").touch()
    ocirt.ok("run", "--bundle", bundle, "c1")
    assert {path.name for path in cache.iterdir()} == {
        "none",
        *[path.name for path in cache.iterdir() if "." in path.name],
    }


def test_a_hit_on_a_disk_only_reads_the_boot_and_counts(ocirt, bundle, cache, tmp_path):
    """So a disk costs a hit next to nothing: it waits for no disk."""
    bundle.args("true").save()

    def calls(directory):
        ocirt.environment = {**os.environ, "OCIRT_CACHE": str(directory)}
        ocirt.ok("run", "--bundle", bundle, "c1")
        log = tmp_path / "calls"
        command = ["strace", "-f", "-o", log, *ocirt.command("run", "--bundle", bundle, "c1")]
        subprocess.run(command, stdin=subprocess.DEVNULL, env=ocirt.environment, check=True, timeout=LIMIT)
        trace = log.read_text()
        assert "python" not in trace
        return [len(re.findall(call, trace)) for call in ("boot_id", r"pwrite64\(", "f(data)?sync", "fallocate")]

    assert calls(cache) == [0, 0, 0, 0]
    assert calls(tmp_path / "disk") in ([1, 1, 0, 0], [0, 0, 0, 0])  # the latter if this directory is in memory, too
