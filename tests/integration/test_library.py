"""The library: containers from Python, for real. test_library_errors.py has its errors, test_library_sandbox.py what a sandbox keeps
apart, test_library_executable.py what the executable tells it, test_library_aio.py asyncio, and test_library_service.py
what a service is: threads, signals, its own death."""

import gc
import json
import linecache
import os
import signal
import subprocess
import time

import pytest

from ocirt import (
    DEVNULL,
    PIPE,
    STDOUT,
    CommandFailed,
    Container,
    Event,
    HostError,
    NoContainer,
    OcirtError,
    ProgramError,
    RequestError,
    Runtime,
    TimeoutExpired,
    WrongState,
    run,
)
from ocirt.library import pidfd
from ocirt.pidfd import exit_status
from tests.integration.harness import LIMIT
from tests.integration.library import config_for
from tests.integration.library_fixtures import box, busy, nothing_left

__all__ = ["box", "busy", "nothing_left"]  # fixtures of the tests here


# ---- a container's life ----


def test_life(box, runtime):
    with box("sh", "-c", "read word; echo got $word; exit 7", stdin=PIPE, stdout=PIPE) as container:
        assert container.status == "created" and container.returncode is None
        container.start()
        assert container.status == "running" and os.readlink(f"/proc/{container.pid}/exe").endswith("/bin/busybox")
        container.stdin.write(b"it\n")
        container.stdin.close()
        assert container.stdout.read() == b"got it\n"
        assert container.wait() == 7 == container.returncode and container.wait() == 7
        assert container.status == "stopped" and container.pid == 0 and container.oom is False
        container.delete()
        with pytest.raises(NoContainer):
            _ = container.state
    assert Container.list(runtime=runtime) == []


def test_bundle(bundle, runtime):
    """A bundle's directory, with its config.json or with another config."""
    bundle.shell("exit 5").config["annotations"] = {"org.example": "yes"}
    with Container.create(bundle.save().path, runtime=runtime) as container:
        state = container.state
        assert (state.bundle, state.rootfs, state.annotations) == (
            str(bundle),
            str(bundle.rootfs),
            {"org.example": "yes"},
        )
        container.start()
        assert container.wait() == 5
    assert run(bundle.path, config=bundle.shell("exit 6").config, runtime=runtime).returncode == 6
    assert sorted(os.listdir(bundle.path)) == ["config.json", "rootfs"]


def test_config_without_a_bundle_leaves_no_file(box, image, runtime):
    before = sorted(os.listdir(image))
    with box("sleep", "60") as container:
        assert container.state.bundle == container.state.rootfs == str(image)
    assert sorted(os.listdir(image)) == before and os.listdir(os.path.dirname(runtime.root)) == ["state"]


def test_kill_all_and_signals(box):
    with box("sh", "-c", "trap 'exit 9' TERM; echo ready; sleep 60 & wait", stdout=PIPE) as container:
        container.start()
        assert container.stdout.readline() == b"ready\n"
        container.kill(signal.SIGTERM)
        assert container.wait(LIMIT) == 9
        with pytest.raises(WrongState, match="not running"):
            container.kill()
        container.delete()
    with box("sleep", "60") as container:
        container.start()
        container.kill(all=True)
        assert container.wait(LIMIT) == 128 + 9


def test_leaving_the_block_deletes_it_whatever_happened(box, runtime):
    with pytest.raises(ZeroDivisionError), box("sleep", "60") as container:
        container.start()
        raise ZeroDivisionError
    with pytest.raises(NoContainer):
        Container.load(container.id, runtime=runtime)
    with box("true") as container:
        container.delete(force=True)  # and once more at the end


def test_streams_are_files_too(box, tmp_path):
    with open(tmp_path / "out", "w+b") as out:
        with box("sh", "-c", "cat; echo error >&2", stdin=DEVNULL, stdout=out, stderr=STDOUT) as container:
            for name in ("stdin", "stdout", "stderr"):
                with pytest.raises(RequestError, match=f"^{name}: found no pipe, expected {name}=ocirt.PIPE"):
                    getattr(container, name)
            container.start()
            assert container.wait(LIMIT) == 0
        assert (tmp_path / "out").read_bytes() == b"error\n"


def test_passed_descriptors(box, tmp_path):
    reading, writing = os.pipe()
    with box("sh", "-c", "echo here >&3; ls /proc/self/fd", pass_fds=[writing], stdout=PIPE) as container:
        os.close(writing)
        container.start()
        assert os.read(reading, 100) == b"here\n"
        assert container.stdout.read().split() == [b"0", b"1", b"2", b"3", b"4"]  # 4 is that of ls itself
    os.close(reading)


def test_the_callers_environment_is_not_the_containers(image, runtime, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("SECRET", "key")
    result = run(config=config_for("env", env={"NAME": "value"}), rootfs=image, runtime=runtime)
    assert sorted(result.text.split()) == [
        "HOME=/tmp",
        "NAME=value",
        next(each for each in result.text.split() if "PATH=" in each),
    ]


# ---- run ----


def test_run(image, runtime):
    result = run(
        config=config_for("sh", "-c", "cat; echo error >&2; exit 3"), rootfs=image, input="größe", runtime=runtime
    )
    assert (result.returncode, result.text, result.stderr, result.signal, result.oom) == (
        3,
        "größe",
        b"error\n",
        0,
        False,
    )
    assert result.args[0] == "sh" and not result.truncated
    with pytest.raises(CommandFailed, match="exit status 3") as failure:
        result.check()
    assert failure.value.result is result
    killed = run(config=config_for("sh", "-c", "kill -TERM $$; exit 0"), rootfs=image, runtime=runtime)
    # The first process of a pid namespace takes no signals from inside.
    assert (killed.returncode, killed.signal) == (0, 0)


def test_run_with_check(image, runtime):
    assert run(config=config_for("true"), rootfs=image, check=True, runtime=runtime).returncode == 0
    with pytest.raises(CommandFailed):
        run(config=config_for("false"), rootfs=image, check=True, runtime=runtime)


def test_outputs_elsewhere(image, runtime, tmp_path):
    with open(tmp_path / "out", "wb") as out:
        result = run(
            config=config_for("sh", "-c", "echo out; echo error >&2"),
            rootfs=image,
            runtime=runtime,
            stdout=out,
            stderr=STDOUT,
        )
    assert (result.stdout, result.stderr, (tmp_path / "out").read_bytes()) == (b"", b"", b"out\nerror\n")
    assert (
        run(
            config=config_for("sh", "-c", "echo out; echo error >&2"), rootfs=image, runtime=runtime, stdout=DEVNULL
        ).stderr
        == b"error\n"
    )


def test_much_output_and_input(image, runtime):
    """More than any pipe holds, in all three at once, in an order that would block who reads one after the other."""
    data = os.urandom(1 << 20) * 3
    script = "dd if=/dev/zero bs=64k count=32 >&2 2>/dev/null; cat; dd if=/dev/zero bs=64k count=32 >&2 2>/dev/null"
    result = run(config=config_for("sh", "-c", script), rootfs=image, input=data, runtime=runtime, timeout=LIMIT)
    assert result.stdout == data and result.stderr.count(b"\0") == 4 << 20


def test_input_that_nobody_reads(image, runtime):
    assert (
        run(config=config_for("true"), rootfs=image, input=b"x" * (1 << 20), runtime=runtime, timeout=LIMIT).returncode
        == 0
    )


def test_too_much_output(image, runtime):
    result = run(
        config=config_for("cat", "/dev/zero"), rootfs=image, max_output=100_000, runtime=runtime, timeout=LIMIT
    )
    assert result.truncated and result.stdout == bytes(100_000) and result.signal == signal.SIGKILL
    with pytest.raises(CommandFailed):
        result.check()


@pytest.mark.cgroups
def test_out_of_memory(image, runtime):
    hungry = config_for("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", memory=16 << 20)
    result = run(config=hungry, rootfs=image, runtime=runtime)
    assert (result.returncode, result.signal, result.oom) == (137, 9, True)
    with pytest.raises(CommandFailed, match="out of memory"):
        result.check()
    assert not run(config=config_for("true"), rootfs=image, runtime=runtime).oom


# ---- sizes ----


def test_sizes_as_text(box, image, runtime):
    assert run(config=config_for("cat", "/dev/zero"), rootfs=image, max_output="1k", runtime=runtime).stdout == bytes(
        1024
    )
    with box("sleep", "60") as container:
        container.start()
        with pytest.raises(
            RequestError, match="^args: found 'id -u', expected a list of the program and its arguments"
        ):
            container.exec("id -u")
        assert container.run(["cat", "/dev/zero"], max_output="1k").stdout == bytes(1024)


@pytest.mark.cgroups
def test_update_takes_sizes_as_text(busy):
    busy.update({"memory": {"limit": "48m", "swap": "48m"}})
    assert busy.stats().memory_limit == 48 << 20


# ---- time-outs ----


def test_run_that_takes_too_long(image, runtime):
    begin = time.monotonic()
    with pytest.raises(TimeoutExpired) as failure:
        run(config=config_for("sh", "-c", "echo begun; sleep 60"), rootfs=image, timeout=1, runtime=runtime)
    assert (failure.value.stdout, failure.value.timeout) == (b"begun\n", 1) and isinstance(failure.value, TimeoutError)
    assert time.monotonic() - begin < LIMIT and Container.list(runtime=runtime) == []


def test_wait_that_takes_too_long(busy):
    begin = time.monotonic()
    with pytest.raises(TimeoutExpired):
        busy.wait(0.2)
    assert 0.2 <= time.monotonic() - begin < LIMIT / 3 and busy.status == "running"


def test_create_that_hangs(image, runtime):
    """It is killed, and what it did is undone."""
    config = config_for("true")
    config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "exec sleep 60"]}]}
    short = Runtime(
        executable=runtime.executable,
        root=runtime.root,
        environment=runtime.environment,
        cgroup_manager=runtime.cgroup_manager,
        timeout=2,
    )
    for make in (Container.create, run):
        with pytest.raises(TimeoutExpired):
            make(config=config, rootfs=image, id="c1", runtime=short, **({"timeout": 2} if make is run else {}))
        assert Container.list(runtime=runtime) == []


# ---- exec ----


def test_exec(busy):
    with busy.exec(
        ["sh", "-c", "read line; echo $line; echo error >&2; exit 4"], stdin=PIPE, stdout=PIPE, stderr=PIPE
    ) as process:
        assert process.pid > 0 and process.returncode is None and process.poll() is None
        process.stdin.write(b"word\n")
        process.stdin.close()
        assert (process.stdout.read(), process.stderr.read(), process.wait(LIMIT)) == (b"word\n", b"error\n", 4)
        assert process.returncode == 4 == process.poll() and not process.kill()
    assert process.pidfd is None


def test_exec_says_who_and_where(busy):
    result = busy.run(
        ["sh", "-c", "id -u; id -g; pwd; echo $NAME; cat"], env={"NAME": "x=y"}, user="7:8", cwd="/bin", input="in"
    )
    assert result.text.split() == ["7", "8", "/bin", "x=y", "in"]
    with busy.exec(
        ["sh", "-c", "id -G; grep -e CapEff -e NoNewPrivs /proc/self/status"],
        user=0,
        additional_gids=[5, 6],
        capabilities=["CAP_KILL"],
        no_new_privileges=True,
        stdout=PIPE,
    ) as process:
        groups, effective, no_new = process.communicate().text.splitlines()
    assert set(groups.split()) >= {"5", "6"} and int(effective.split()[1], 16) == 1 << 5 and no_new.split()[1] == "1"


def test_exec_is_killed(busy):
    process = busy.exec(["sleep", "60"])
    pid = process.pid
    with pytest.raises(TimeoutExpired):
        process.wait(0.1)
    assert process.kill(signal.SIGTERM) and process.wait(LIMIT) == 128 + 15
    process.close()
    with busy.exec(["sleep", "60"]) as process:  # by leaving the block
        pid = process.pid
    assert not os.path.exists(f"/proc/{pid}") and busy.status == "running"


def test_exec_with_much_output(busy):
    data = os.urandom(1 << 20) * 2
    assert busy.run(["sh", "-c", "tee /dev/stderr"], input=data, timeout=LIMIT).stderr == data
    result = busy.run(["cat", "/dev/zero"], max_output=1000, timeout=LIMIT)
    assert (result.stdout, result.truncated, result.signal) == (bytes(1000), True, 9)


def test_exec_that_takes_too_long(busy):
    with pytest.raises(TimeoutExpired) as failure:
        busy.run(["sh", "-c", "echo begun; exec sleep 60"], timeout=1)
    assert failure.value.stdout == b"begun\n"
    with pytest.raises(CommandFailed):
        busy.run(["false"], check=True)


def test_exec_that_leaves_a_process_behind(busy):
    """Which holds the pipe, and writes to it: the command has ended all the same."""
    result = busy.run(
        ["sh", "-c", "(while echo more; do :; done) & echo first; exit 2"], timeout=LIMIT, max_output=None
    )
    assert result.returncode == 2 and b"first\n" in result.stdout


def test_a_container_ends_with_its_processes(busy):
    with busy.exec(["sleep", "60"]) as process:
        busy.kill()
        assert busy.wait(LIMIT) == 137 == process.wait(LIMIT)


# ---- looking at it, changing it ----


@pytest.mark.cgroups
def test_pause_and_resume(busy):
    busy.pause()
    assert busy.status == "paused"
    with pytest.raises(WrongState):
        busy.pause()
    with pytest.raises(OcirtError, match="paused"):
        busy.exec(["true"])
    busy.resume()
    assert busy.run(["true"]).returncode == 0
    busy.pause()  # and the end of the block can delete it


@pytest.mark.v1
@pytest.mark.cgroups
def test_stats_and_update(busy):
    before = busy.stats()
    assert before.processes == 1 and before.process_limit == 64 and before.memory_limit == 256 << 20
    assert 0 < before.memory <= before.memory_peak and before.cpu_seconds > 0 and before.oom_kills == 0
    assert before.details["pids"] == {"current": 1, "limit": 64}
    busy.update({"pids": {"limit": 9}, "memory": {"limit": 32 << 20, "swap": 32 << 20}})
    after = busy.stats()
    assert (after.process_limit, after.memory_limit) == (9, 32 << 20)


@pytest.mark.v1
@pytest.mark.cgroups
def test_events(box, runtime):
    with box("sh", "-c", "read go; dd if=/dev/zero of=/dev/null bs=500M count=1; read go", stdin=PIPE) as container:
        container.start()
        events = container.events(timeout=LIMIT)
        container.stdin.write(b"\n")
        container.stdin.flush()
        assert next(events) == Event("oom")
        end = time.monotonic() + LIMIT
        while not container.oom:  # it is told when memory runs out, and counted when something has been killed for it
            assert time.monotonic() < end
        assert container.oom and container.stats().oom_kills == 1 and Container.load("c1", runtime=runtime).oom
        container.stdin.close()
        assert [each for each in events if each.type == "end"] == [Event("end")]
        container.wait()
        container.delete()
        assert container.oom
    with box("sleep", "60") as container:
        container.start()
        with pytest.raises(TimeoutExpired):
            next(container.events(timeout=0.1))


def test_events_need_a_memory_cgroup(image, runtime):
    bare = Runtime(
        executable=runtime.executable, root=runtime.root, environment=runtime.environment, cgroup_manager="disabled"
    )
    with Container.create(
        config=config_for("sleep", "60", memory=None, processes=None, cpus=None), rootfs=image, runtime=bare
    ) as container:
        for look in (container.events, container.stats):
            with pytest.raises(HostError, match="no cgroups"):
                look()


def test_load_and_list(ocirt, bundle, runtime):
    """Containers of others: what the command line made."""
    bundle.shell("exit 6").save()
    ocirt.ok("create", "--bundle", bundle, "other")
    found = Container.load("other", runtime=runtime)
    assert [each.id for each in Container.list(runtime=runtime)] == ["other"] and found.status == "created"
    assert found.returncode is None and found.pidfd is not None
    with pytest.raises(RequestError, match="^stdout: found no pipe"):
        _ = found.stdout
    with pytest.raises(TimeoutExpired):
        found.wait(0.1)
    found.start()
    # Its parent is another: a newer kernel tells how it has ended, if that takes notice of it.
    assert found.wait(LIMIT) in (6, None)
    assert found.wait() == found.returncode and Container.load("other", runtime=runtime).wait() is None
    found.delete()
    with pytest.raises(NoContainer):
        found.delete()
    found.delete(force=True)


@pytest.mark.skipif(not pidfd.can_tell(), reason="this kernel does not tell exit statuses by pidfd")
@pytest.mark.parametrize("script, status", [("exit 6", 6), ("kill -KILL $$", 137)])
def test_exit_status_by_pidfd(ocirt, bundle, runtime, script, status):
    """Of a container whose parent is another, which takes notice of its end."""
    bundle.without_namespace("pid").shell(f"read go; {script}").save()
    with subprocess.Popen(ocirt.command("run", "--keep", "--bundle", bundle, "other"), stdin=subprocess.PIPE) as parent:
        ocirt_wait(ocirt, "other")
        found = Container.load("other", runtime=runtime)
        parent.stdin.write(b"\n")
        parent.stdin.close()
        assert found.wait(LIMIT) == status == parent.wait(LIMIT)


def ocirt_wait(ocirt, name):
    while name not in ocirt.ids() or ocirt.status(name) != "running":
        time.sleep(0.01)


def test_exit_status_of_what_is_no_pidfd():
    reading, writing = os.pipe()
    assert exit_status(reading) is None
    os.close(reading), os.close(writing)


def test_a_loaded_container_outlives_the_object(ocirt, bundle, runtime):
    ocirt.ok("run", "-d", "--bundle", bundle, "other")
    found = Container.load("other", runtime=runtime)
    del found
    gc.collect()
    time.sleep(0.1)
    assert ocirt.status("other") == "running"


# ---- what it has used ----


def test_a_result_tells_what_was_used(image, runtime):
    """Time of the program alone, CPU time of all its processes, those that nobody has waited for included."""
    begin = time.monotonic()
    slept = run(config=config_for("sleep", "0.4"), rootfs=image, runtime=runtime)
    assert (
        0.2 <= slept.seconds < time.monotonic() - begin and 0 < slept.cpu_seconds < 0.3
    )  # the supervisor may see the start late
    burn = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done"

    def used(script):
        result = run(config=config_for("sh", "-c", script, cpus=None), rootfs=image, runtime=runtime, timeout=LIMIT)
        assert result.returncode == 0
        return result.cpu_seconds

    alone = used(burn)
    assert 1.3 * alone < used(f"({burn}) & {burn}; wait") < 6 * alone
    assert 0.6 * alone < used(f"({burn}) & exec sleep {2 + 8 * alone}")  # nobody waits for it


@pytest.mark.cgroups
def test_the_peak_is_the_containers(image, runtime):
    """What lies in its file systems in memory counts, and all processes together."""
    config = config_for("sh", "-c", "dd if=/dev/zero of=/tmp/x bs=1M count=24 2>/dev/null; rm /tmp/x")
    result = run(config=config, rootfs=image, runtime=runtime)
    assert result.returncode == 0 and 24 << 20 <= result.memory_peak < 64 << 20
    assert run(config=config_for("true"), rootfs=image, runtime=runtime).memory_peak < 16 << 20


def test_a_further_process_tells_what_it_has_used_itself(busy):
    busy.run(["sh", "-c", "dd if=/dev/zero of=/tmp/x bs=1M count=40 2>/dev/null"])
    result = busy.run(["sleep", "0.3"])
    assert 0.15 <= result.seconds < LIMIT and result.cpu_seconds < 0.3
    assert 0 < result.memory_peak < 20 << 20  # not the container's, of which 40 MiB are in /tmp
    hungry = busy.run(["dd", "if=/dev/zero", "of=/dev/null", "bs=30M", "count=1"])
    assert 30 << 20 <= hungry.memory_peak < 64 << 20


# ---- the first process ----


def line_of(told):
    """The line to which the only warning points."""
    (warning,) = told
    return linecache.getline(warning.filename, warning.lineno).strip()


def test_a_signal_that_the_kernel_drops_is_told(box, recwarn):
    """A program that is pid 1 and has no handler; not one that has, nor SIGKILL, nor where there is an init."""
    with box("sleep", "60") as container:
        container.start()
        with pytest.warns(RuntimeWarning, match="has no handler for signal 15.*init=True") as told:
            container.kill(signal.SIGTERM)
        assert line_of(told) == "container.kill(signal.SIGTERM)"
        assert container.status == "running"
        container.kill()
        assert container.wait(LIMIT) == 137
    recwarn.clear()
    with box("sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done", stdout=PIPE) as container:
        container.start()
        assert container.stdout.readline() == b"ready\n"
        container.kill(signal.SIGTERM)
        assert container.wait(LIMIT) == 9
    with box("sleep", "60", init=True) as container:
        container.start()
        container.kill(signal.SIGTERM)
        assert container.wait(LIMIT) == 128 + 15
    assert [each for each in recwarn if each.category is RuntimeWarning] == []


def test_annotations_of_a_config_in_python_choose_directories(image, runtime, tmp_path):
    """As its caller's own; those of a bundle, which may be somebody else's, do not."""
    (tmp_path / "rootfs").mkdir()
    config = config_for("true") | {"annotations": {"org.ocirt.rootfs.lower": f"{tmp_path}/rootfs:{image}"}}
    assert run(config=config, rootfs=tmp_path / "rootfs", runtime=runtime).returncode == 0
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.warns(RuntimeWarning, match="--rootfs-annotations") as told, pytest.raises(ProgramError):
        run(tmp_path, runtime=runtime)  # of an empty rootfs
    assert line_of(told) == "run(tmp_path, runtime=runtime)  # of an empty rootfs"
