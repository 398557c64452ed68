"""Our JSON Schemas against the official ones of runtime-spec 1.3.0: the same properties, the same verdicts."""

import json

import pytest

from ocirt.cli import spec
from ocirt.errors import ConfigError
from ocirt.model.json import parse
from ocirt.validate import schema
from tests.unit.plans import DATA, config
from tests.unit.schemas import official, official_validator, properties

FILES = 19
"""How many test files the official schemas have: none must get lost."""
OTHERWISE = {
    "config/bad/freebsd-vnet-disable.json": "the section of another platform, which a runtime on Linux ignores",
}
"""Official test file -> why our verdict is another one."""

NOT_LINUX = ("solaris", "windows", "vm", "zos", "freebsd", "process.commandLine", "process.user.username")
NOT_IN_THE_SCHEMA = ("linux.memoryPolicy", "linux.intelRdt.schemata", "linux.intelRdt.monitoring")
"""Features that features-linux.md has and the official schema has forgotten."""


def ours(name, text):
    """The errors that our schema finds in a file."""
    try:
        return schema.errors(name, parse(text)[0])
    except ConfigError as error:
        return [error]


def theirs(name, text):
    try:
        document = json.loads(text)
    except ValueError as error:
        return [error]
    return list(official_validator(name).iter_errors(document))


def official_files():
    return sorted((official() / "test").glob("*/*/*.json"))


def test_the_official_test_files():
    files = official_files()
    assert len(files) == FILES
    differ = {}
    for path in files:
        name, verdict, _ = path.relative_to(official() / "test").parts
        text = path.read_bytes()
        assert bool(theirs(name, text)) == (verdict == "bad"), path
        if bool(ours(name, text)) != (verdict == "bad"):
            differ["/".join(path.parts[-3:])] = ours(name, text)
    assert set(differ) == set(OTHERWISE), differ


@pytest.mark.parametrize("path", [*sorted(DATA.glob("*.json")), "ocirt spec", "ocirt spec --rootless"], ids=str)
def test_what_engines_write(path):
    """Valid for both, but for null, which Go writes for an empty list, and podman's rootfsPropagation "rslave"."""
    members = {"ocirt spec": spec.default(), "ocirt spec --rootless": spec.rootless(1, 1)}.get(path) or json.loads(
        path.read_text()
    )
    assert schema.errors("config", members) == []
    places = [error.json_path for error in official_validator("config").iter_errors(without_null(members))]
    assert places == [place for place in places if place == "$.linux.rootfsPropagation"]


def without_null(value):
    if isinstance(value, dict):
        return {key: without_null(item) for key, item in value.items() if item is not None}
    return [without_null(item) for item in value] if isinstance(value, list) else value


def official_properties(name):
    """The paths of every property in the official schema, as :func:`tests.unit.schemas.properties` has ours."""
    found = set()

    def load(file):
        return json.loads((official() / file).read_text())

    def walk(value, file, path):
        if "$ref" in value:
            other, _, pointer = value["$ref"].partition("#")
            file = other or file
            target = load(file)
            for part in pointer.strip("/").split("/"):
                target = target[part]
            walk(target, file, path)
        for part in [*value.get("allOf", ()), *value.get("anyOf", ())]:
            walk(part, file, path)
        for key, inner in value.get("properties", {}).items():
            if f"{path}.{key}".lstrip(".") in NOT_LINUX:
                continue
            found.add(f"{path}.{key}".lstrip("."))
            walk(inner, file, f"{path}.{key}".lstrip("."))
        if "items" in value:
            walk(value["items"], file, f"{path}[]")
        if isinstance(value.get("additionalProperties"), dict):
            walk(value["additionalProperties"], file, f"{path}.*")

    walk(load(f"{name}-schema.json"), f"{name}-schema.json", "")
    return found


@pytest.mark.parametrize("name", schema.NAMES)
def test_the_same_properties(name):
    """Every property of Linux, and no other."""
    added = {path for path in properties(name) if path.startswith(NOT_IN_THE_SCHEMA)} if name == "features" else set()
    assert set(properties(name)) == official_properties(name) | added
    assert name != "features" or {*NOT_IN_THE_SCHEMA} <= added


def test_every_example_is_valid():
    """What stands under "examples" in a schema is taken by that schema."""
    count = 0
    for path, value in properties("config").items():
        for example in value.get("examples", ()):
            count += 1
            place = [0 if part == "[]" else part for part in path.replace("[]", ".[]").split(".")]
            document = example
            for part in reversed(place):
                document = [document] if part == 0 else {part: document}
            errors = [error for error in schema.errors("config", document) if error.found != "nothing"]
            assert errors == [], path
    assert count > 20


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"root": ...}, "config.json: root: found nothing, expected an object"),
        ({"root__path": ""}, 'config.json: root.path: found "", expected the path of a directory'),
        ({"process__args": "sh"}, 'config.json: process.args: found "sh", expected an array of strings'),
        ({"process__args": ["a", None]}, "config.json: process.args[1]: found null, expected a string"),
        ({"process__user__uid": -1}, "config.json: process.user.uid: found -1, expected a number from 0 to 4294967294"),
        ({"process__user__uid": 1.0}, "config.json: process.user.uid: found 1.0, expected a whole number"),
        (
            {"process__user__additionalGids": [0, True]},
            "config.json: process.user.additionalGids[1]: found true, expected a whole number",
        ),
        ({"process__noNewPrivileges": 0}, "config.json: process.noNewPrivileges: found 0, expected true or false"),
        (
            {"process__scheduler": {"policy": "FIFO"}},
            'config.json: process.scheduler.policy: found "FIFO", expected one of SCHED_OTHER, SCHED_FIFO, SCHED_RR, '
            "SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE",
        ),
        (
            {"process__ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 8}},
            "config.json: process.ioPriority.priority: found 8, expected a number from 0 to 7",
        ),
        (
            {"process__execCPUAffinity": {"final": "a"}},
            'config.json: process.execCPUAffinity.final: found "a", expected a list of numbers and ranges, like 0-3,7',
        ),
        ({"annotations": {"": "x"}}, 'config.json: annotations: found "", expected keys that are not empty'),
        ({"annotations": {"a b": None}}, 'config.json: annotations["a b"]: found null, expected a string'),
        (
            {"linux__netDevices": {"eth0": {"name": 5}}},
            "config.json: linux.netDevices.eth0.name: found 5, expected a string",
        ),
        (
            {"linux__intelRdt": {"memBwSchema": "MB:0=1\n"}},
            r'config.json: linux.intelRdt.memBwSchema: found "MB:0=1\n", expected one line that begins with MB:',
        ),
        (
            {"mounts": [{"destination": "/a", "uidMappings": {}}]},
            "config.json: mounts[0].uidMappings: found an object, expected an array of objects",
        ),
    ],
)
def test_the_words(changes, expected):
    """The form of create's errors."""
    assert [str(error) for error in schema.errors("config", config(**changes))] == [expected]


@pytest.mark.parametrize(
    "changes",
    [
        {"process__scheduler": None},
        {"linux__namespaces": None},
        {"mounts": None},
        {"process": None},
        {"linux__resources": {"memory": None, "devices": None}},
        {"unknown": 5},
        {"linux__unknown": [None]},
        {"windows": 5},
        {"solaris": {"milestone": 5}},
        {"vm": None},
        {"zos": []},
        {"freebsd": 1},
        {"linux__devices": [{"type": "p", "path": "/d"}]},
    ],
)
def test_null_and_the_unknown_are_ignored(changes):
    """config.md, Extensibility; null as in Go."""
    assert schema.errors("config", config(**changes)) == []


def test_null_is_missing_where_something_is_required():
    assert [str(error) for error in schema.errors("config", config(process__cwd=None))] == [
        "config.json: process.cwd: found nothing, expected a string"
    ]


@pytest.mark.parametrize("status, count", [("creating", 0), ("created", 1), ("running", 1), ("stopped", 0), ("x", 1)])
def test_a_state_without_a_pid(status, count):
    """runtime.md, State: pid is required while there is a process."""
    state = {"ociVersion": "1.3.0", "id": "a", "status": status, "bundle": "/b", "rootfs": "/more/is/allowed"}
    assert len(schema.errors("state", state)) == count


def test_the_schemas_are_valid_schemas():
    from jsonschema import Draft202012Validator

    for name in schema.NAMES:
        Draft202012Validator.check_schema(schema.load(name))
