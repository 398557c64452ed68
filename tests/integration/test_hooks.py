"""config.md, POSIX-platform Hooks, and runtime.md, Lifecycle 3 to 13."""

import json
import os
import subprocess
import time

import pytest

from tests.integration.harness import LIMIT

POINTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def hook(script, **more):
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}


def install(bundle, log, points=POINTS):
    """A hook at each point that appends its name, its namespaces and its state to ``log``, which is bind-mounted inside."""
    log.touch()
    bundle.config["mounts"].append({"destination": "/log", "source": str(log), "options": ["bind"]})
    script = 'f={log}; state=$(tr -d "\n"); echo "{point} $(readlink /proc/self/ns/mnt) $A $state" >> $f'
    bundle.config["hooks"] = {
        point: [
            hook(
                script.format(point=point, log="/log" if point == "startContainer" else log),
                env=["A=of-hook", "PATH=/bin:/usr/bin"],
            )
        ]
        for point in points
    }
    bundle.config["annotations"] = {"a.b": "c"}
    return bundle.save()


def lines_of(log):
    found = []
    for line in log.read_text().splitlines():
        point, space, value, state = line.split(" ", 3)
        found.append((point, space, value, json.loads(state)))
    return found


def test_order_namespaces_and_state(ocirt, bundle, tmp_path):
    log = tmp_path / "log"
    install(bundle, log)
    ours = os.readlink("/proc/self/ns/mnt")
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert [line[0] for line in lines_of(log)] == ["prestart", "createRuntime", "createContainer"]
    pid = ocirt.state("c1")["pid"]
    inside = os.readlink(f"/proc/{pid}/ns/mnt")
    ocirt.ok("start", "c1")
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    ocirt.ok("delete", "c1")
    lines = lines_of(log)
    assert [line[0] for line in lines] == list(POINTS)
    assert [line[1] for line in lines] == [ours, ours, inside, inside, ours, ours]
    states = {line[0]: line[3] for line in lines}
    assert {point: state["status"] for point, state in states.items()} == {
        "prestart": "created",
        "createRuntime": "created",
        "createContainer": "created",
        "startContainer": "created",
        "poststart": "running",
        "poststop": "stopped",
    }
    # runtime.md, State: the pid as seen by the runtime, in the container's namespaces as seen by the container.
    assert [states[point]["pid"] for point in POINTS] == [pid, pid, 1, 1, pid, 0]
    assert all(
        state["id"] == "c1" and state["bundle"] == str(bundle.path) and state["annotations"] == {"a.b": "c"}
        for state in states.values()
    )
    assert all(line[2] == "of-hook" for line in lines)


def test_listed_order(ocirt, bundle, tmp_path):
    bundle.config["hooks"] = {"createRuntime": [hook(f"echo {number} >> {tmp_path}/order") for number in range(5)]}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert (tmp_path / "order").read_text().split() == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("point", ["prestart", "createRuntime", "createContainer"])
def test_failure_of_a_create_hook(ocirt, bundle, tmp_path, point):
    """runtime.md, Lifecycle 3 to 5: an error, the container is stopped and destroyed, poststop hooks run."""
    bundle.config["hooks"] = {
        point: [hook("echo something went wrong >&2; exit 3")],
        "poststop": [hook(f"echo ran > {tmp_path}/poststop")],
    }
    bundle.save()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert f"hooks.{point}[0]" in message and "exit status 3" in message and "something went wrong" in message
    assert ocirt.ids() == [] and (tmp_path / "poststop").read_text() == "ran\n"


@pytest.mark.parametrize("point", ["startContainer", "poststart"])
def test_failure_of_a_start_hook(ocirt, bundle, tmp_path, point):
    """runtime.md, Lifecycle 7 and 9: an error, the container is stopped and destroyed, poststop hooks run."""
    bundle.config["hooks"] = {point: [hook("exit 4")], "poststop": [hook(f"echo ran > {tmp_path}/poststop")]}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    message = ocirt.fails("start", "c1")
    assert f"hooks.{point}[0]" in message and "exit status 4" in message
    assert ocirt.ids() == [] and (tmp_path / "poststop").read_text() == "ran\n"
    (tmp_path / "poststop").unlink()
    assert f"hooks.{point}[0]" in ocirt.fails("run", "--bundle", bundle, "c1")
    assert ocirt.ids() == [] and (tmp_path / "poststop").read_text() == "ran\n"


def test_failure_of_poststop_is_a_warning(ocirt, bundle, tmp_path):
    """runtime.md, Lifecycle 13: a warning; the remaining hooks run."""
    bundle.config["hooks"] = {"poststop": [hook("exit 1"), hook(f"echo ran > {tmp_path}/second")]}
    bundle.args("true").save()
    result = ocirt.ok("run", "--bundle", bundle, "c1")
    assert "level=warning" in result.err and "hooks.poststop[0]" in result.err and (tmp_path / "second").exists()


def test_timeout(ocirt, bundle):
    bundle.config["hooks"] = {"createRuntime": [hook("sleep 100", timeout=1)]}
    bundle.save()
    begin = time.monotonic()
    assert "timed out after 1 s" in ocirt.fails("create", "--bundle", bundle, "c1")
    assert 0.9 < time.monotonic() - begin < 10


@pytest.mark.parametrize(
    "wrong, path",
    [
        ({"path": "relative"}, "hooks.prestart[0].path"),
        ({}, "hooks.prestart[0].path"),
        ({"path": "/bin/true", "timeout": 0}, "hooks.prestart[0].timeout"),
        ({"path": "/nonexistent"}, "hooks.prestart[0]"),
    ],
)
def test_wrong_hooks(ocirt, bundle, wrong, path):
    """config.md: path is absolute, timeout greater than zero."""
    bundle.config["hooks"] = {"prestart": [wrong]}
    bundle.save()
    assert path in ocirt.fails("create", "--bundle", bundle, "c1")
    assert ocirt.ids() == []


def test_a_large_state_does_not_block(ocirt, bundle):
    """The state does not go through a pipe: a hook that never reads it cannot hold create up."""
    bundle.config["annotations"] = {f"key{number}": "x" * 1000 for number in range(150)}
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/true"}, hook("test $(wc -c) -gt 150000")]}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert len(ocirt.state("c1")["annotations"]) == 150


def test_create_container_resolves_outside(ocirt, bundle, tmp_path):
    """config.md, CreateContainer Hooks: path resolves in the runtime namespace, before pivot_root."""
    program = tmp_path / "only-outside"
    program.write_text(f"#!/bin/sh\necho ran > {tmp_path}/ran\n")
    program.chmod(0o755)
    bundle.config["hooks"] = {"createContainer": [{"path": str(program)}]}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert (tmp_path / "ran").read_text() == "ran\n"


def test_environments_and_directories(ocirt, bundle, tmp_path):
    """A hook without env has the runtime's own environment, one of startContainer the process', one with an empty env none; a
    createContainer hook begins in the rootfs, others of the host in the bundle: runc, crun."""
    bundle.config["root"]["readonly"] = False
    bundle.config["process"]["env"] = ["PATH=/bin", "OF=process"]

    def say(point, **more):
        to = f"/tmp/{point}" if point == "startContainer" else f"{tmp_path}/{point}"
        return {"path": "/bin/sh", "args": ["sh", "-c", f'echo "$OF $(pwd)" >>{to}'], **more}

    bundle.config["hooks"] = {point: [say(point), say(point, env=["PATH=/bin:/usr/bin"])] for point in POINTS}
    bundle.args("true").save()
    environment = {**os.environ, "OF": "caller"}
    ocirt.ok("run", "--bundle", bundle, "c1", env=environment)
    said = {
        point: ((bundle.rootfs / "tmp") if point == "startContainer" else tmp_path)
        .joinpath(point)
        .read_text()
        .splitlines()
        for point in POINTS
    }
    inside = {"createContainer": str(bundle.rootfs), "startContainer": "/"}
    assert said == {
        point: [
            f"{'process' if point == 'startContainer' else 'caller'} {inside.get(point, bundle)}",
            f" {inside.get(point, bundle)}",
        ]
        for point in POINTS
    }


@pytest.mark.parametrize("point", ["createRuntime", "createContainer", "startContainer", "poststart"])
def test_the_end_of_what_a_failing_hook_prints(ocirt, bundle, point):
    """Standard output and standard error, the last 4 KiB, in the error."""
    bundle.config["hooks"] = {
        point: [hook("echo begin; yes 0123456789abcde | head -400; echo to-error >&2; echo end; exit 3")]
    }
    bundle.args("sleep", "60").save()
    message = ocirt.fails("run", "--detach", "--bundle", bundle, "c1")
    assert f"hooks.{point}[0]: run hook /bin/sh: exit status 3: " in message
    assert "to-error end" in message and "begin" not in message
    assert message.count("0123456789abcde ") in range(250, 257)


def test_what_a_hook_prints_is_bounded(ocirt, bundle):
    """A hundred megabytes pass through a runtime that may not hold them."""
    bundle.config["hooks"] = {"createRuntime": [hook("yes | head -c 100000000; echo the end >&2; exit 1")]}
    bundle.save()
    words = ["prlimit", "--data=40000000", *ocirt.command("create", "--bundle", bundle, "c1")]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 1 and "y y the end" in done.stderr


def test_what_a_hook_leaves_behind_keeps_nobody_waiting(ocirt, bundle):
    bundle.config["hooks"] = {"createRuntime": [hook("sleep 60 & echo $! >&2")]}
    bundle.args("true").save()
    begin = time.monotonic()
    ocirt.ok("run", "--bundle", bundle, "c1")
    assert time.monotonic() - begin < 50
