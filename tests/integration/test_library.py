"""The library: containers from Python, for real. tests/integration/test_library_aio.py has asyncio, test_library_service.py
what a service is: threads, signals, its own death."""

import dataclasses
import errno
import gc
import json
import os
import shutil
import signal
import stat
import subprocess
import time

import pytest

from ocirt import (
    DEVNULL,
    PIPE,
    STDOUT,
    CommandFailed,
    ConfigError,
    Container,
    ContainerExists,
    Event,
    HostError,
    InstallationError,
    NoContainer,
    OcirtError,
    ProgramError,
    RequestError,
    Runtime,
    StateError,
    StepError,
    TimeoutExpired,
    WrongState,
    run,
)
from ocirt.library import pidfd
from ocirt.pidfd import exit_status
from tests.integration.harness import LIMIT, cgroups_path
from tests.integration.library import children, config_for, descriptors


@pytest.fixture(autouse=True)
def nothing_left():
    """Each test leaves the process as it was: no child, no descriptor."""
    before = descriptors()
    yield
    gc.collect()  # exceptions that a test has caught hold their frames
    assert (children(), descriptors()) == ([], before)


@pytest.fixture
def box(runtime, image):
    """Makes containers: ``box("sh", "-c", "...", stdin=PIPE)``."""

    def make(*args, id="c1", **more):
        return Container.create(config=config_for(*args), rootfs=image, id=id, runtime=runtime, **more)

    return make


@pytest.fixture
def busy(box):
    """A container that sleeps."""
    with box("sleep", "60") as container:
        container.start()
        yield container


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


# ---- what is missing ----


def test_a_missing_bundle_or_rootfs_is_an_error_of_the_config(image, runtime, tmp_path):
    """With the path of what is missing in its text, by run and by create."""
    lone = tmp_path / "lone"
    lone.mkdir()
    (lone / "config.json").write_text(json.dumps(config_for("true")))  # its rootfs is not there
    config = config_for("true")
    (tmp_path / "file").touch()
    cases = [
        ({"bundle": tmp_path / "no"}, "config.json", f"{tmp_path}/no/config.json", errno.ENOENT),
        ({"bundle": tmp_path}, "config.json", f"{tmp_path}/config.json", errno.ENOENT),
        ({"bundle": lone}, "root.path", f"{lone}/rootfs", errno.ENOENT),
        ({"config": config, "rootfs": tmp_path / "no"}, "root.path", f"{tmp_path}/no", errno.ENOENT),
        ({"config": config, "rootfs": tmp_path / "file"}, "root.path", f"{tmp_path}/file", errno.ENOTDIR),
    ]
    for given, path, text, number in cases:
        for make in (run, Container.create):
            with pytest.raises(ConfigError) as failure:
                make(**given, runtime=runtime)
            assert (failure.value.path, failure.value.errno) == (path, number) and text in str(failure.value)
            assert failure.value.found in ("no such file or directory", "not a directory") and failure.value.expected


def test_a_root_directory_that_cannot_be_read(runtime, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="not a directory"):
        Container.list(runtime=Runtime(executable=runtime.executable, root=tmp_path / "file"))


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


# ---- errors ----


def test_errors_of_the_config(image, runtime):
    config = config_for("true")
    config["mounts"][1]["type"] = 3
    for make in (Container.create, run):
        with pytest.raises(ConfigError) as failure:
            make(config=config, rootfs=image, runtime=runtime)
        error = failure.value
        assert (error.phase, error.path, error.found, error.expected) == ("compile", "mounts[1].type", "3", "a string")


def test_errors_of_a_step(image, runtime):
    config = config_for("true")
    config["mounts"].append({"destination": "/x", "type": "bind", "source": "/nonexistent", "options": ["bind"]})
    with pytest.raises(StepError, match="/nonexistent") as failure:
        Container.create(config=config, rootfs=image, runtime=runtime)
    error = failure.value
    assert (error.phase, error.path, error.errno) == ("init", f"mounts[{len(config['mounts']) - 1}]", errno.ENOENT)


@pytest.mark.parametrize(
    "program, number", [("nosuch", errno.ENOENT), ("/nosuch", errno.ENOENT), ("/etc/passwd", errno.EACCES)]
)
def test_errors_of_the_program(image, runtime, busy, program, number):
    with pytest.raises(ProgramError) as failure:
        run(config=config_for(program, cgroup=cgroups_path("other")), rootfs=image, runtime=runtime)
    assert (failure.value.errno, failure.value.path, failure.value.phase) == (number, "process.args", "init")
    with pytest.raises(ProgramError) as failure:
        busy.exec([program])
    assert failure.value.errno == number


def test_a_program_that_turns_out_to_be_none(box, image, runtime):
    """Found, and executable: only execve knows better, which is start's."""
    config = config_for("/script")
    config["mounts"].append(
        {"destination": "/script", "type": "bind", "source": str(image / "script"), "options": ["bind"]}
    )
    (image / "script").write_text("#!/nosuch\n")
    (image / "script").chmod(0o755)
    try:
        with Container.create(config=config, rootfs=image, runtime=runtime) as container:
            with pytest.raises(ProgramError) as failure:
                container.start()
            assert (failure.value.phase, failure.value.errno) == ("exec_program", errno.ENOENT)
            container.wait(LIMIT)
            assert container.status == "stopped"
    finally:
        (image / "script").unlink()


def test_errors_of_states(box, busy, runtime):
    with pytest.raises(ContainerExists) as failure:
        box("true")
    assert failure.value.id == "c1" and busy.status == "running"
    for act in (busy.start, busy.delete, busy.resume):
        with pytest.raises(WrongState):
            act()
    busy.kill()
    busy.wait()
    for act in (busy.start, busy.pause, lambda: busy.exec(["true"]), lambda: busy.update({"pids": {"limit": 9}})):
        with pytest.raises(WrongState):
            act()
    with pytest.raises(StateError, match="has ended"):
        list(Container.load("c1", runtime=runtime).events())
    with pytest.raises(NoContainer):
        Container.load("c2", runtime=runtime)


@pytest.mark.parametrize(
    "call, path, words",
    [
        ({}, "bundle", "bundle: found none"),
        ({"bundle": "/x", "rootfs": "/y"}, "rootfs", "rootfs"),
        ({"config": {"root": {"path": "x"}}}, "root.path", "config: root.path: found 'x'"),
        ({"config": {"x": {1}}, "rootfs": "/"}, "config", "config: Object of type set"),
        ({"bundle": "/x", "id": "a/b"}, "id", "container id"),
        ({"bundle": "/x", "id": "../x"}, "id", "container id"),
        ({"bundle": "/x", "stdin": -7}, "stdin", "stdin: found -7"),
    ],
)
def test_errors_of_a_call(runtime, call, path, words):
    with pytest.raises(RequestError, match=words) as failure:
        Container.create(runtime=runtime, **call)
    assert failure.value.phase == "request" and failure.value.path == path


def test_a_root_that_cannot_be_had(image, runtime, tmp_path):
    """The error is in words of the library: a host's fault, and Runtime(root=) is what is to be changed."""
    (tmp_path / "file").touch()
    wrong = dataclasses.replace(runtime, root=str(tmp_path / "file"))
    with pytest.raises(HostError) as failure:
        run(config=config_for("true"), rootfs=image, runtime=wrong)
    error = failure.value
    assert str(error) == (
        f"Runtime(root='{tmp_path}/file'): not a directory; "
        "pass Runtime(root=...) a directory of this user, which nobody else may write to"
    )
    assert (error.path, error.errno) == ("root", errno.ENOTDIR) and error.message in str(error)


def test_errors_of_further_calls(busy, runtime):
    with pytest.raises(RequestError, match="container id"):
        Container.load("../c1", runtime=runtime)
    with pytest.raises(RequestError, match="resources"):
        busy.update({"pids": {1}})
    with pytest.raises(RequestError, match="pids"):
        busy.update({"pids": {"limit": "many"}})
    with pytest.raises(RequestError, match="unknown signal"):
        busy.kill(99)
    with pytest.raises(OcirtError, match="cwd"):
        busy.exec(["true"], cwd="tmp")


def test_errors_of_the_installation(image, runtime, tmp_path):
    for content, words in ((None, "no such file"), ("#!/bin/sh\nexit 0\n", "without a report")):
        path = tmp_path / "ocirt"
        if content is not None:
            path.write_text(content)
            path.chmod(0o755)
        with pytest.raises(InstallationError, match=words):
            run(config=config_for("true"), rootfs=image, runtime=Runtime(executable=path, root=runtime.root))


def test_a_failed_create_leaves_nothing(image, runtime):
    """At any place: a config that is wrong, a step that fails early, late, and in init."""
    for change in (
        {"hostname": 3},
        {"root": {"path": "/nonexistent"}},
        {"process": {"args": ["nosuch"], "cwd": "/"}},
        {"hooks": {"createContainer": [{"path": "/bin/false"}]}},
    ):
        with pytest.raises(OcirtError):
            Container.create(
                config={**config_for("true"), **change}, rootfs=None if "root" in change else image, runtime=runtime
            )
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


# ---- what the library asks of the executable ----


def test_status_fd(ocirt, bundle):
    """The lines that it tells, by the command line itself."""

    def told(*words, stop=None):
        reading, writing = os.pipe()
        result = ocirt(*words[:1], "--status-fd", str(writing), *words[1:], pass_fds=[writing])
        os.close(writing)
        with open(reading, "rb") as file:
            return result, [json.loads(line) for line in file]

    result, (begin, end) = told("run", "--bundle", bundle.shell("exit 3").save(), "c1")
    assert result.status == 3 and begin["pid"] > 0 and begin["startTime"] > 0 and end["exitCode"] == 3
    assert set(end) == {"exitCode", "cpuMicroseconds", "memoryPeak", "clock"} and end["memoryPeak"] > 0
    assert 0 < end["clock"] - begin["clock"] < LIMIT * 10**9
    result, (error,) = told("run", "--bundle", bundle.args("nosuch").save(), "c1")
    assert result.status == 1 and (result.out, result.err) == ("", "")
    assert {name: error[name] for name in ("level", "phase", "path", "errno")} == {
        "level": "error",
        "phase": "init",
        "path": "process.args",
        "errno": 2,
    }
    bundle.config["hostname"] = 5
    result, (error,) = told("create", "--bundle", bundle.save(), "c1")
    assert result.status == 1 and (error["kind"], error["path"], error["phase"]) == (
        "ConfigError",
        "hostname",
        "compile",
    )


@pytest.mark.parametrize("value", ["2", "77", "x", "-1"])
def test_status_fd_that_is_none(ocirt, bundle, value):
    assert "--status-fd" in ocirt.fails("run", "--status-fd", value, "--bundle", bundle, "c1")


def test_a_status_fd_is_not_one_of_the_programs(ocirt, bundle):
    reading, writing = os.pipe()
    assert f"from {writing + 1} on" in ocirt.fails(
        "run", "--preserve-fds", writing - 2, "--status-fd", writing, "--bundle", bundle, "c1", pass_fds=[writing]
    )
    os.close(reading), os.close(writing)


def test_config_by_descriptor(ocirt, bundle, tmp_path):
    """--config /dev/fd/N: a descriptor of the caller's, also where the program has to be compiled."""
    bundle.config["annotations"] = {"org.example.unlike": str(tmp_path)}
    for hostname in ("one", "two"):
        bundle.config["hostname"] = hostname
        with open(tmp_path / "other.json", "w+") as file:
            json.dump(bundle.shell("hostname; ls /proc/self/fd").config, file)
            file.flush()
            for path in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
                result = ocirt.ok("run", "--bundle", bundle, "--config", path, "c1", pass_fds=[file.fileno()])
                assert result.out.split() == [hostname, "0", "1", "2", "3"]


def test_the_log_tells_where(ocirt, bundle, tmp_path):
    """The file of --log has one object, engines' members first."""
    bundle.args("nosuch").save()
    log = tmp_path / "log"
    ocirt("create", "--bundle", bundle, "c1", options=["--log", log, "--log-format", "json"])
    line = json.loads(log.read_text())
    assert list(line) == ["level", "msg", "time", "phase", "path", "errno"]
    assert (line["phase"], line["path"], line["errno"]) == ("init", "process.args", 2)


def test_sandbox_is_one(image, runtime):
    """No capability, no way to one, no network, nothing to write but /tmp, no system calls of an attacker's."""
    script = """
        grep -e CapEff -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status | cut -f2
        ls /sys/class/net 2>/dev/null; cat /proc/net/dev | tail -n +3 | cut -d: -f1
        touch /x /dev/x 2>/dev/null || echo refused; touch /tmp/x && echo written; ulimit -n; ulimit -c
        unshare -r true 2>/dev/null || echo refused; mount -t tmpfs none /tmp 2>/dev/null || echo refused
    """
    result = run(config=config_for("sh", "-c", script, files=99), rootfs=image, runtime=runtime)
    assert result.text.split() == [
        "0" * 16,
        "0" * 16,
        "1",
        "2",
        "lo",
        "refused",
        "written",
        "99",
        "0",
        "refused",
        "refused",
    ], result


@pytest.mark.cgroups
def test_sandbox_has_limits(image, runtime):
    """More processes than allowed, more scratch than there is."""
    result = run(
        config=config_for("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait", processes=5),
        rootfs=image,
        runtime=runtime,
    )
    assert b"can't fork" in result.stderr
    result = run(
        config=config_for("dd", "if=/dev/zero", "of=/tmp/x", "bs=1M", "count=9", scratch=4 << 20),
        rootfs=image,
        runtime=runtime,
    )
    assert b"No space left" in result.stderr


def test_sandbox_binds_read_only(image, runtime, tmp_path):
    (tmp_path / "data").write_text("given")
    config = config_for(
        "sh", "-c", "cat /data; echo x > /data", binds={"/data": str(tmp_path / "data")}, hostname="there"
    )
    result = run(config=config, rootfs=image, runtime=runtime)
    (image / "data").unlink(missing_ok=True)
    assert result.text == "given" and b"Read-only file system" in result.stderr


@pytest.fixture
def tree_of_mounts(tmp_path, image):
    """A directory of the host with a file system of its own below it, in which everybody may write; and a function that
    mounts one more there."""
    top = tmp_path / "tree"
    (top / "below").mkdir(parents=True)
    (top / "later").mkdir()

    def mount(name):
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "mode=1777,dev,suid", "tmpfs", top / name], check=True, timeout=LIMIT
        )

    subprocess.run(["mount", "--bind", "--make-shared", top, top], check=True, timeout=LIMIT)
    mount("below")
    os.mknod(top / "below/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (top / "below/null").chmod(0o666)
    yield top, mount
    subprocess.run(["umount", "--recursive", top], check=True, timeout=LIMIT)
    if (image / "data").exists():
        (image / "data").rmdir()  # the mount point that the runtime has made


def test_sandbox_binds_are_read_only_below_too(image, runtime, tree_of_mounts):
    """What is mounted beneath the directory is as little the sandbox's as the directory: no file is written there, no device
    opened, no program gets its owner's rights."""
    top, _ = tree_of_mounts
    script = (
        "for each in /data /data/below; do echo x > $each/written; done; cat /data/below/null;"
        "grep ' /data' /proc/self/mountinfo"
    )
    result = run(config=config_for("sh", "-c", script, binds={"/data": str(top)}), rootfs=image, runtime=runtime)
    assert (
        result.stderr.count(b"Read-only file system") == 2 and b"/data/below/null': Permission denied" in result.stderr
    )
    options = {line.split()[4]: set(line.split()[5].split(",")) for line in result.text.splitlines()}
    assert set(options) == {"/data", "/data/below"}
    assert all(each >= {"ro", "nosuid", "nodev"} for each in options.values())
    assert sorted(os.listdir(top)) == ["below", "later"] and os.listdir(top / "below") == ["null"]


def test_what_the_host_mounts_later_below_a_bind_is_not_the_sandboxs(box, image, runtime, tree_of_mounts):
    """It would come writable: the flags of a bind are those of the mounts that there were."""
    top, mount = tree_of_mounts
    config = config_for("sh", "-c", "echo ready; read word; echo x > /data/later/written", binds={"/data": str(top)})
    with Container.create(config=config, rootfs=image, runtime=runtime, stdin=PIPE, stdout=PIPE) as container:
        container.start()
        assert container.stdout.readline() == b"ready\n"
        mount("later")
        container.stdin.write(b"go\n")
        container.stdin.close()
        assert container.wait(LIMIT) != 0
    assert os.listdir(top / "later") == []


def test_what_is_mounted_below_the_root_is_read_only_too(runtime, tree_of_mounts, image):
    """root.readonly alone is for the root's own mount; and what the host mounts there later does not appear."""
    top, mount = tree_of_mounts
    for name in ("bin", "proc", "dev", "tmp"):
        (top / name).mkdir()
    shutil.copy(image / "bin/busybox", top / "bin/sh")
    (top / "proc/hidden").mkdir()
    mount("tmp")  # which the sandbox's own /tmp covers
    config = config_for(
        "sh",
        "-c",
        "for each in / /below /tmp; do echo x > $each/written && echo $each; done; echo ready; read word; echo x > /later/written",
    )
    with Container.create(config=config, rootfs=top, runtime=runtime, stdin=PIPE, stdout=PIPE) as container:
        container.start()
        assert [container.stdout.readline(), container.stdout.readline()] == [b"/tmp\n", b"ready\n"]
        mount("later")
        container.stdin.write(b"go\n")
        container.stdin.close()
        assert container.wait(LIMIT) != 0
    assert [os.listdir(top / name) for name in ("below", "later", "tmp")] == [["null"], [], []]
    writable = config | {"root": {"path": "rootfs", "readonly": False}}
    writable["process"]["args"] = ["sh", "-c", "echo x > /below/written"]
    assert run(config=writable, rootfs=top, runtime=runtime).returncode == 0


# ---- what it has used ----


def test_a_result_tells_what_was_used(image, runtime):
    """Time of the program alone, CPU time of all its processes, those that nobody has waited for included."""
    begin = time.monotonic()
    slept = run(config=config_for("sleep", "0.4"), rootfs=image, runtime=runtime)
    assert 0.4 <= slept.seconds < time.monotonic() - begin and 0 < slept.cpu_seconds < 0.3
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
    assert 0.3 <= result.seconds < LIMIT and result.cpu_seconds < 0.3
    assert 0 < result.memory_peak < 20 << 20  # not the container's, of which 40 MiB are in /tmp
    hungry = busy.run(["dd", "if=/dev/zero", "of=/dev/null", "bs=30M", "count=1"])
    assert 30 << 20 <= hungry.memory_peak < 64 << 20


# ---- the first process ----


def test_a_signal_that_the_kernel_drops_is_told(box, recwarn):
    """A program that is pid 1 and has no handler; not one that has, nor SIGKILL, nor where there is an init."""
    with box("sleep", "60") as container:
        container.start()
        with pytest.warns(RuntimeWarning, match="has no handler for signal 15.*init=True"):
            container.kill(signal.SIGTERM)
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
    with pytest.warns(RuntimeWarning, match="it works only with --rootfs-annotations"), pytest.raises(ProgramError):
        run(tmp_path, runtime=runtime)  # of an empty rootfs
