"""The typed views of config.json: ocirt.model.config."""

import json

import pytest

from ocirt.cli import flags
from ocirt.errors import ConfigError
from ocirt.model.config import SPEC_VERSION, parse
from ocirt.model.text import Number, Text, Texts


def view(members):
    return parse(json.dumps({"ociVersion": "1.0.2", **members}).encode())


def error(look):
    with pytest.raises(ConfigError) as caught:
        look()
    return caught.value.path, caught.value.found, caught.value.expected


def test_the_version_is_the_command_lines():
    assert SPEC_VERSION == flags.SPEC_VERSION


@pytest.mark.parametrize(
    "version", ["1.0.0", "1.0.2-dev", "1.0.2", "1.1.0-rc.1", "1.3.0", "1.9.9+x", "1.2.3-a.b-c+001.d"]
)
def test_every_version_1_is_taken(version):
    parse(json.dumps({"ociVersion": version}).encode())


@pytest.mark.parametrize("version", ["0.1.0", "2.0.0", "10.0.0"])
def test_other_versions_are_not(version):
    assert error(lambda: parse(json.dumps({"ociVersion": version}).encode())) == (
        "ociVersion",
        f'"{version}"',
        "a version 1.x: this build follows 1.3.0",
    )


@pytest.mark.parametrize(
    "version",
    [
        "",
        "1",
        "1.",
        "1.0.0.0",
        "v1.0.0",
        "1.00.0",
        "1.0.x",
        "1.0.0-",
        "1.0.0-01",
        "1.0.0+",
        "1.0.0-a..b",
        "1.0.0 ",
        "1.0.0-é",
        "١.٠.٠",
    ],
)
def test_what_is_no_semantic_version(version):
    path, _, expected = error(lambda: parse(json.dumps({"ociVersion": version}).encode()))
    assert (path, expected) == ("ociVersion", "a semantic version, like 1.3.0")


def test_a_missing_version():
    assert error(lambda: parse(b"{}")) == ("ociVersion", "nothing", "a string")


def test_values_know_their_path():
    config = view(
        {
            "mounts": [{"destination": "/a"}, {"destination": "/b", "options": ["ro", "x=1"]}],
            "process": {"args": ["a", "b"], "rlimits": [{"soft": 1}]},
            "linux": {
                "resources": {"memory": {"limit": 5}},
                "sysctl": {"net.core.x": "1"},
                "timeOffsets": {"boottime": {"secs": -1}},
            },
        }
    )
    option = config.mounts[1].options[1]
    assert isinstance(option, Text) and (option.path, option.bound()) == ("mounts[1].options[1]", "x=1")
    limit = config.linux.resources.memory.limit
    assert isinstance(limit, Number) and (limit.path, limit.bound()) == ("linux.resources.memory.limit", 5)
    assert isinstance(config.process.args, Texts) and config.process.args.path == "process.args"
    assert config.process.rlimits[0].soft.path == "process.rlimits[0].soft"
    assert config.linux.sysctl["net.core.x"].path == 'linux.sysctl["net.core.x"]'
    assert config.linux.time_offsets["boottime"].secs.path == "linux.timeOffsets.boottime.secs"


def test_looking_records_nothing_but_checks():
    config = view({"hostname": "h", "linux": {"resources": {"pids": {"limit": 5}}}})
    before = dict(config.trace.guards)
    assert config.hostname.bound() == "h"
    _ = config.linux.resources.pids.limit
    assert config.trace.guards == before and config.trace.tests == {}
    assert config.trace.slots == {"linux.resources.pids.limit": {"low": -(1 << 63), "high": (1 << 63) - 1}}


def test_what_is_absent():
    config = view({"process": None})
    assert config.hostname is None and config.mounts == [] and config.annotations == {}
    assert config.linux.resources.memory.limit is None and config.process.terminal is False
    assert not config.has("process") and config.process.env is None
    assert config.linux.resources.memory.path == "linux.resources.memory"


@pytest.mark.parametrize(
    "members, look, path, found, expected",
    [
        ({"hostname": 5}, lambda c: c.hostname, "hostname", "5", "a string"),
        ({"hostname": {"a": 1}}, lambda c: c.hostname, "hostname", "an object", "a string"),
        ({"mounts": {}}, lambda c: c.mounts, "mounts", "an object", "an array of objects"),
        ({"mounts": [5]}, lambda c: c.mounts, "mounts[0]", "5", "an object"),
        (
            {"mounts": [{"options": ["a", None]}]},
            lambda c: c.mounts[0].options,
            "mounts[0].options[1]",
            "null",
            "a string",
        ),
        ({"mounts": [{}]}, lambda c: c.mounts[0].destination, "mounts[0].destination", "nothing", "a string"),
        ({"process": []}, lambda c: c.process, "process", "an array", "an object"),
        ({"process": {"terminal": "yes"}}, lambda c: c.process.terminal, "process.terminal", '"yes"', "true or false"),
        ({"process": {"terminal": 1}}, lambda c: c.process.terminal, "process.terminal", "1", "true or false"),
        (
            {"process": {"user": {"uid": True}}},
            lambda c: c.process.user.uid,
            "process.user.uid",
            "true",
            "a whole number",
        ),
        (
            {"process": {"user": {"uid": 1.0}}},
            lambda c: c.process.user.uid,
            "process.user.uid",
            "1.0",
            "a whole number",
        ),
        (
            {"process": {"user": {"uid": "0"}}},
            lambda c: c.process.user.uid,
            "process.user.uid",
            '"0"',
            "a whole number",
        ),
        (
            {"process": {"user": {"uid": -1}}},
            lambda c: c.process.user.uid,
            "process.user.uid",
            "-1",
            "a number from 0 to 4294967294",
        ),
        (
            {"process": {"user": {"uid": 1 << 32}}},
            lambda c: c.process.user.uid,
            "process.user.uid",
            str(1 << 32),
            "a number from 0 to 4294967294",
        ),
        # setresuid(2) takes it as "leave it": root would stay root.
        (
            {"process": {"user": {"uid": (1 << 32) - 1}}},
            lambda c: c.process.user.uid,
            "process.user.uid",
            str((1 << 32) - 1),
            "a number from 0 to 4294967294",
        ),
        (
            {"process": {"user": {"gid": (1 << 32) - 1}}},
            lambda c: c.process.user.gid,
            "process.user.gid",
            str((1 << 32) - 1),
            "a number from 0 to 4294967294",
        ),
        ({"process": {"args": ["a", 1]}}, lambda c: c.process.args, "process.args[1]", "1", "a string"),
        ({"process": {"args": "sh"}}, lambda c: c.process.args, "process.args", '"sh"', "an array of strings"),
        (
            {"process": {"user": {"additionalGids": [1, "x"]}}},
            lambda c: c.process.user.additional_gids,
            "process.user.additionalGids[1]",
            '"x"',
            "a whole number",
        ),
        ({"annotations": {"a.b": 1}}, lambda c: c.annotations, 'annotations["a.b"]', "1", "a string"),
        (
            {"linux": {"timeOffsets": {"boottime": 1}}},
            lambda c: c.linux.time_offsets,
            "linux.timeOffsets.boottime",
            "1",
            "an object",
        ),
        ({}, lambda c: c.root, "root", "nothing", "an object"),
    ],
)
def test_types_are_checked_as_they_are_looked_at(members, look, path, found, expected):
    assert error(lambda: look(view(members))) == (path, found, expected)


def test_unknown_properties_and_other_platforms_are_ignored():
    config = view({"windows": 5, "solaris": {"x": []}, "unheard-of": None, "process": {"commandLine": 7, "cwd": "/"}})
    assert config.process.cwd.bound() == "/"


def test_annotations_as_they_stand():
    data = b'{"ociVersion":"1.0.0", "annotations" : { "a" : "\\u00e9" , "b":""}}'
    raw = parse(data).raw("annotations")
    assert (raw.bound(), raw.path) == ('{ "a" : "\\u00e9" , "b":""}', "annotations")


def test_asking_for_an_annotation_is_a_test():
    config = view({"annotations": {"a": "x"}})
    assert config.annotation("a").bound() == "x" and config.annotation("b") is None
    assert config.trace.tests == {("annotations", "has", "a"): True, ("annotations", "has", "b"): False}
