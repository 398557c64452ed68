"""The law of the program cache: where two configs have one shape, equal guards and equal answers, their programs differ
in the slots' values alone. And: any JSON compiles or ends in one clear error."""

import json
from copy import deepcopy

import pytest

from ocirt.compile import compile
from ocirt.errors import OcirtError
from ocirt.model.config import parse
from ocirt.model.text import PREDICATES
from ocirt.plan.encode import encode
from tests.unit.plans import host, request, v2
from tests.unit.test_encode import RICH, Program

pytest.importorskip("hypothesis")  # hack/test installs it

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

TEMPLATE = ("sections", "facts", "steps", "strings", "pieces", "lists", "items", "patches")
BUILD = "0" * 32
HOSTS = pytest.mark.parametrize("on", [host, v2], ids=["v1", "v2"])
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

BASE = deepcopy(RICH)
BASE["mounts"].append({"destination": "/b", "source": "s", "options": ["bind"]})
BASE["linux"] |= {
    "cgroupsPath": "/c",
    "maskedPaths": ["/m"],
    "devices": [{"path": "/d", "type": "p"}],
    "sysctl": {"net.core.somaxconn": "1"},
}

hostile = st.one_of(
    st.sampled_from(
        [
            "",
            "/",
            "/proc",
            "/dev",
            "/dev/null",
            "rootfs",
            "a:b:c",
            "../x",
            "/a/../b",
            "ro",
            "-1",
            "c1",
            ".",
            "x" * 4096,
            "/" + "é" * 60,
            "idmap=",
            "/b",
        ]
    ),
    st.text(max_size=8),
    st.text(max_size=5).map(lambda text: "/" + text),
)
number = st.one_of(st.sampled_from([0, -1, 1, 5, 1 << 20, (1 << 63) - 1]), st.integers(-2, 70))
PLACES = {
    ("hostname",): hostile,
    ("root", "path"): hostile,
    ("process", "cwd"): hostile,
    ("process", "args"): st.lists(hostile, max_size=3),
    ("process", "env"): st.lists(hostile, max_size=3),
    ("process", "oomScoreAdj"): number,
    ("process", "rlimits", 0, "soft"): number,
    ("mounts", 0, "destination"): hostile,
    ("mounts", 0, "options", 1): hostile,
    ("mounts", 1, "destination"): hostile,
    ("mounts", 1, "source"): hostile,
    ("linux", "cgroupsPath"): hostile,
    ("linux", "maskedPaths", 0): hostile,
    ("linux", "namespaces", 2, "path"): hostile,
    ("linux", "resources", "memory", "limit"): number,
    ("linux", "resources", "memory", "swap"): number,
    ("linux", "resources", "devices", 0, "major"): number,
    ("linux", "devices", 0, "path"): hostile,
    ("linux", "sysctl", "net.core.somaxconn"): hostile,
    ("hooks", "poststop", 0, "path"): hostile,
    ("hooks", "poststop", 0, "timeout"): number,
    ("annotations",): st.dictionaries(hostile, hostile, max_size=2),
}


def put(members, place, value):
    *holders, name = place
    for holder in holders:
        members = members[holder]
    members[name] = value


@st.composite
def configs(draw):
    """BASE with some of its values replaced by hostile ones."""
    members = deepcopy(BASE)
    for place in draw(st.lists(st.sampled_from(sorted(PLACES, key=str)), max_size=4, unique=True)):
        put(members, place, draw(PLACES[place]))
    return members


def compiled(members, on, id="c1", bundle="/bundle"):
    """Trace and program, or ``None`` where the config is refused."""
    try:
        plan = compile(parse(json.dumps(members).encode()), request(id=id, bundle=bundle), on())
        return plan.trace, Program(encode(plan, BUILD))
    except OcirtError:
        return None


def passes(checks, value):
    """What the binder checks of a slot's value."""
    if "low" in checks and not checks["low"] <= value <= checks["high"]:
        return False
    if checks.get("absolute") and not value.startswith("/"):
        return False
    return len(value.encode()) <= checks["max_length"] if "max_length" in checks else True


@HOSTS
@SETTINGS
@given(first=configs(), second=configs())
def test_the_template_of_one_is_the_others(on, first, second):
    a, b = compiled(first, on), compiled(second, on, id="other", bundle="/elsewhere")
    assume(a and b)
    assume(a[0].guards == b[0].guards and a[0].tests == b[0].tests)
    for table in TEMPLATE:
        assert a[1].tables[table] == b[1].tables[table], table
    assert a[0].slots == b[0].slots


@HOSTS
@SETTINGS
@given(place=st.sampled_from(sorted(PLACES, key=str)), data=st.data())
def test_one_value_changed(on, place, data):
    """The same, one value at a time, so that shapes meet more often."""
    first, second = deepcopy(BASE), deepcopy(BASE)
    put(first, place, data.draw(PLACES[place]))
    put(second, place, data.draw(PLACES[place]))
    a, b = compiled(first, on), compiled(second, on)
    assume(a and b and a[0].guards == b[0].guards and a[0].tests == b[0].tests)
    for table in TEMPLATE:
        assert a[1].tables[table] == b[1].tables[table], table


@HOSTS
@SETTINGS
@given(place=st.sampled_from(sorted(PLACES, key=str)), data=st.data())
def test_what_is_refused_fails_a_check_or_answers_otherwise(on, place, data):
    """A config that is refused must not bind to the program of one that is not: its value fails a slot's check, is
    guarded, or gives a test another answer."""
    assume(place not in (("annotations",), ("process", "args"), ("process", "env")))
    members = deepcopy(BASE)
    value = data.draw(PLACES[place])
    put(members, place, value)
    try:
        plan = compile(parse(json.dumps(members).encode()), request(), on())
        encode(plan, BUILD)
        assume(False)
    except OcirtError as error:
        path = getattr(error, "path", "")
    trace, _ = compiled(BASE, on)
    answers = {(name, argument): answer for (of, name, argument), answer in trace.tests.items() if of == path}
    otherwise = any(
        PREDICATES[name](value, argument) != answer
        for (name, argument), answer in answers.items()
        if isinstance(value, str) or name == "equals"
    )
    unspeakable = isinstance(value, str) and ("\0" in value or not value.isascii() and _has_surrogates(value))
    assert path in trace.guards or otherwise or unspeakable or not passes(trace.slots.get(path, {}), value), path


def _has_surrogates(text):
    return any("\ud800" <= letter <= "\udfff" for letter in text)


anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(max_size=6), st.floats(allow_nan=False, allow_infinity=False)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


def places(value, path=()):
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


@HOSTS
@SETTINGS
@given(data=st.data())
def test_any_json_compiles_or_ends_in_one_clear_error(on, data):
    members = deepcopy(BASE)
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(places(members))
        if not found:
            break
        put(members, data.draw(st.sampled_from(found)), data.draw(anything))
    try:
        encode(compile(parse(json.dumps(members).encode()), request(), on()), BUILD)
    except OcirtError as error:
        assert "\n" not in str(error) and "\0" not in str(error) and str(error).encode()


@SETTINGS
@given(st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode)), st.integers(0, 400))
def test_any_bytes_are_json_or_one_clear_error(data, cut):
    whole = json.dumps(BASE, indent=1).encode()
    for text in (data, whole[:cut], whole[:cut] + data + whole[cut:]):
        try:
            parse(text)
        except OcirtError as error:
            assert "\n" not in str(error) and str(error).encode()
