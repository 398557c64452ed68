"""Any JSON ends in success or in clear errors, never in a traceback; and create and validate agree.

Configs are made from our own schema, valid ones and mutated ones.
"""

import json
import re
from copy import deepcopy

import pytest

from ocirt.compile import compile
from ocirt.errors import ConfigError, OcirtError
from ocirt.model.config import parse
from ocirt.model.host import Cgroups, Hierarchy
from ocirt.plan.encode import encode
from ocirt.validate import schema, validate
from tests.unit.plans import DATA, host, no_cgroups, request
from tests.unit.schemas import official_validator
from tests.unit.test_law import anything, hostile, places, put

pytest.importorskip("hypothesis")  # hack/test installs it

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
HOSTS = (
    host(),
    no_cgroups(),
    host(cgroups=Cgroups((), Hierarchy((), "/sys/fs/cgroup", "/"))),
    host(euid=1000, egid=1000, in_user_namespace=True, denies_setgroups=True),
)
LONGEST = 1000
"""Letters, beside the path, of an error that a person may be asked to read."""


@st.composite
def valid(draw, value, root):
    """What a schema takes.

    :param value, root: as :func:`ocirt.validate.schema.resolve` gives them.
    """
    value, root = schema.resolve(value, root)
    if "enum" in value:
        return draw(st.sampled_from(value["enum"]))
    if value["type"] == "string":
        return draw(_strings(value))
    if value["type"] == "integer":
        low, high = value["minimum"], value["maximum"]
        near = st.integers(low, min(high, low + 70))
        return draw(st.one_of(st.sampled_from([low, high]), near, st.integers(low, high)))
    if value["type"] == "boolean":
        return draw(st.booleans())
    if value["type"] == "array":
        return draw(st.lists(valid(value["items"], root), min_size=value.get("minItems", 0), max_size=3))
    return draw(_objects(value, root))


def _strings(value):
    if "pattern" not in value and "minLength" not in value:
        examples = st.sampled_from(value.get("examples", [""]))
        return st.one_of(hostile, examples).filter(lambda text: _passes(value, text))
    known = st.sampled_from(value.get("examples") or ["0", "0-3,7", ""])
    return st.one_of(known, hostile.map(lambda text: "/" + text), hostile).filter(lambda text: _passes(value, text))


def _passes(value, text):
    return (
        bool(re.search(value.get("pattern", ""), text))
        and len(text) >= value.get("minLength", 0)
        and not ("not" in value and re.search(value["not"]["pattern"], text))
    )


@st.composite
def _objects(draw, value, root):
    if "additionalProperties" in value:
        inner = valid(value["additionalProperties"], root)
        keys = st.one_of(hostile, st.sampled_from(["net.core.x", "kernel.sem", "eth0", "org.ocirt.rootfs.lower"]))
        return draw(st.dictionaries(keys.filter(bool), inner, max_size=2))
    names = value.get("required", [])
    others = [name for name in value["properties"] if name not in names]
    if others:
        names = [*names, *draw(st.lists(st.sampled_from(others), unique=True, max_size=4))]
    members = {name: draw(valid(value["properties"][name], root)) for name in names}
    for name in names:
        if name in others and draw(st.integers(0, 15)) == 0:
            members[name] = None
    if members.get("type") in ("c", "b", "u") and "fileMode" in value["properties"]:
        members |= {"major": draw(valid(value["properties"]["major"], root)), "minor": 0}
    return members


@st.composite
def configs(draw, mutated=True):
    """A config by our schema, most often one with namespaces in which something can be done; then changed."""
    members = draw(valid(schema.load("config"), schema.load("config")))
    if members.get("linux") is None:
        members["linux"] = {}
    if draw(st.integers(0, 3)):
        members["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "uts", "ipc", "network")]
    if "process" not in members and draw(st.booleans()):
        members["process"] = {"cwd": "/", "args": ["sh"]}
    for _ in range(draw(st.integers(0, 3)) if mutated else 0):
        found = list(places(members))
        if found:
            put(members, draw(st.sampled_from(found)), draw(st.one_of(anything, odd)))
    return members


odd = st.one_of(
    st.sampled_from(
        [10**30, -1, 1 << 63, 1 << 64, 1.5, 1e308, "\0", "\ud800", "a\nb", "x" * 5000, [[]], {"": {}}, 10**4000]
    ).map(deepcopy),
    st.integers(1, 150).map(lambda depth: nested(depth)),
)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def compiled(members, machine=HOSTS[0]):
    """What create makes of it: ``None``, or its error."""
    data = json.dumps(members).encode()
    try:
        config = parse(data)
        words = {"console_socket": "/s"} if config.process.terminal else {}
        assert encode(compile(config, request(**words), machine), "0" * 32)
    except OcirtError as error:
        return error
    return None


def is_clear(error):
    """One line that can be printed and read."""
    text = str(error)
    is_short = len(text) - len(getattr(error, "path", "")) < LONGEST
    return text.isprintable() and is_short and text.encode() and re.search("found .*, expected |: ", text)


@SETTINGS
@given(configs(), st.sampled_from(range(len(HOSTS))))
def test_create_ends_in_a_program_or_in_one_clear_error(members, index):
    error = compiled(members, HOSTS[index])
    assert error is None or is_clear(error), error


@SETTINGS
@given(configs())
def test_validate_agrees_with_create(members):
    """Its errors are clear, one a place; what create refuses because of the config is among them, word by word; and
    what has none is not refused because of the config."""
    errors = validate(json.dumps(members).encode())
    assert all(isinstance(error, ConfigError) and is_clear(error) for error in errors), errors
    assert len({error.path for error in errors}) == len(errors)
    error = compiled(members)
    if isinstance(error, ConfigError):
        assert str(error) in [str(each) for each in errors]


@SETTINGS
@given(configs(mutated=False))
def test_what_our_schema_takes_the_official_takes(members):
    assert schema.errors("config", members) == []
    assume("\ud800" not in json.dumps(members))
    for error in official_validator("config").iter_errors(without_null(members)):
        place = "".join([f".{part}" if isinstance(part, str) else "[]" for part in error.absolute_path])
        assert place in WIDER, error


WIDER = {
    ".linux.rootfsPropagation": 'engines write rslave and its like, and "" for none',
    ".linux.devices[].fileMode": "engines write the whole st_mode",
    ".linux.resources.pids": "the text has limit as optional, the schema as required",
}
"""Place -> why we take more than the official schema."""


def without_null(value):
    if isinstance(value, dict):
        return {key: without_null(item) for key, item in value.items() if item is not None}
    return [without_null(item) for item in value] if isinstance(value, list) else value


@SETTINGS
@given(st.sampled_from(sorted(DATA.glob("*.json"))), st.data())
def test_engines_configs_mutated(path, data):
    members = json.loads(path.read_text())
    for _ in range(data.draw(st.integers(1, 4))):
        put(members, data.draw(st.sampled_from(list(places(members)))), data.draw(st.one_of(anything, odd)))
    errors = validate(json.dumps(members).encode())
    assert all(is_clear(error) for error in errors), errors
    error = compiled(deepcopy(members))
    if isinstance(error, ConfigError):
        assert str(error) in [str(each) for each in errors]


@pytest.mark.parametrize("depth", [100, 330, 490, 900, 985, 2000, 100_000])
@pytest.mark.parametrize(
    "place",
    [
        '{"ociVersion":"1.3.0","x":%s}',
        '{"ociVersion":"1.3.0","linux":{"seccomp":%s}}',
        '{"annotations":{"a":%s}}',
        '{"mounts":[%s]}',
        "%s",
    ],
)
@pytest.mark.parametrize("pair", ["[]", '{"a":}', '{"a":1,"a":}'])
def test_deep_nesting(depth, place, pair):
    opening, closing = pair[:-1], pair[-1:]
    data = (place % (opening * depth + "1" + closing * depth)).encode()
    assert all(is_clear(error) for error in validate(data))
    try:
        encode(compile(parse(data), request(), HOSTS[0]), "0" * 32)
    except OcirtError as error:
        assert is_clear(error), error


@pytest.mark.parametrize("digits", [20, 400, 4299, 4301, 100_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_numbers_of_many_digits(digits, sign):
    data = b'{"ociVersion":"1.3.0","root":{"path":"r"},"process":{"cwd":"/","args":["a"],"oomScoreAdj":%s%s}}' % (
        sign.encode(),
        b"9" * digits,
    )
    (error, *_) = validate(data)
    assert is_clear(error), error
    with pytest.raises(ConfigError) as caught:
        encode(compile(parse(data), request(), HOSTS[0]), "0" * 32)
    assert is_clear(caught.value), caught.value
