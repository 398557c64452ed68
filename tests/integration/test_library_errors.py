"""The library: its errors, and what a container leaves that cannot be made."""

import dataclasses
import errno
import json

import pytest

from ocirt import (
    ConfigError,
    Container,
    ContainerExists,
    HostError,
    InstallationError,
    NoContainer,
    OcirtError,
    ProgramError,
    RequestError,
    Runtime,
    StateError,
    StepError,
    WrongState,
    run,
)
from tests.integration.harness import LIMIT, cgroups_path
from tests.integration.library import config_for
from tests.integration.library_fixtures import box, busy, nothing_left

__all__ = ["box", "busy", "nothing_left"]  # fixtures of the tests here


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
