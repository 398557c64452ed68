"""The executable's scanner against Python's: what one takes for a config's shape is the other's, and what it takes at all
is JSON."""

import json

import pytest

from ocirt.errors import ConfigError
from ocirt.model import config as model
from ocirt.model.json import parse
from ocirt.model.shape import LIST, RAW, SLOTS, Shape
from tests.unit.plans import DATA

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SETTINGS = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
CONFIGS = sorted(DATA.glob("*.json"))


def structure(data):
    return Shape(parse(data)[0]).structure


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_same_shape(core, path):
    assert core.scan(path.read_bytes()) == structure(path.read_bytes())


@pytest.mark.parametrize(
    "text, shape",
    [
        ("{}", b"{}"),
        (' {"a" : [ ] } ', b"{:a\0[]}"),
        ('{"a":[1,"x",null,true,false,1.0,-0,1e3]}', b"{:a\0[isntbfif]}"),
        ('{"a":{"b":{}}}', b"{:a\0{:b\0{}}}"),
        ('{"":"","\\u00e9":"\\ud83d\\ude00"}', b"{:\0s:\xc3\xa9\0s}"),
        ('{"process":{"args":["a","b"],"env":[]}}', b"{:process\0{:args\0L:env\0L}}"),
        ('{"args":["a"],"process":["args"]}', b"{:args\0[s]:process\0[s]}"),
        ('{"hooks":{"poststop":[{"args":["x"],"path":"/h"}]}}', b"{:hooks\0{:poststop\0[{:args\0L:path\0s}]}}"),
        ('{"annotations":{"a":"b"}}', b"{:annotations\0R}"),
        ('{"annotations":null}', b"{:annotations\0n}"),
        ('{"a":{"annotations":{"a":"b"}}}', b"{:a\0{:annotations\0{:a\0s}}}"),
        ('{"a":18446744073709551615,"b":-9223372036854775808}', b"{:a\0i:b\0i}"),
    ],
)
def test_shapes(core, text, shape):
    assert core.scan(text.encode()) == shape == structure(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        '"a"',
        "{",
        "}",
        "{}x",
        "{}{}",
        '{"a":1,}',
        '{"a":[1,]}',
        '{"a" 1}',
        "{a:1}",
        "{'a':1}",
        '{"a":01}',
        '{"a":+1}',
        '{"a":.5}',
        '{"a":1.}',
        '{"a":1e}',
        '{"a":-}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":tru}',
        '{"a":nul}',
        '{"a":"\t"}',
        '{"a":"\\x"}',
        '{"a":"\\u12"}',
        '{"a":"\\ud800"}',
        '{"a":"\\ud800\\u0041"}',
        '{"a":"\\udc00"}',
        '{"a":"\\u0000"}',
        '{"a":"',
        '{"a":1,"a":2}',
        '{"annotations":{"a":1}}',
        '{"annotations":{"a":"","a":""}}',
        '{"process":{"args":[1]}}',
        '{"a":18446744073709551616}',
        '{"a":-9223372036854775809}',
        "\ufeff{}",
        "{}\0",
        '{"a":' + "[" * 100 + "]" * 100 + "}",
        "// x\n{}",
        '{"a":1 "b":2}',
    ],
)
def test_what_is_left_to_python(core, text):
    assert core.scan(text.encode()) is None


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":"\xff"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xf4\x90\x80\x80"}',
        b'{"a":"\xe0\x80\x80"}',
        b'{"a":"\xf0\x80\x80\x80"}',
        b'{"a":"\xc3"}',
        b"\xff\xfe{\0}\0",
    ],
)
def test_what_is_no_utf8(core, data):
    assert core.scan(data) is None


def test_a_key_twice_is_found_however_it_is_written(core):
    assert core.scan(b'{"a":1,"\\u0061":2}') is None


@SETTINGS
@given(st.sampled_from(CONFIGS), st.integers(0, 4000), st.binary(max_size=6), st.integers(0, 6))
def test_bytes_changed_anywhere(core, path, place, data, cut):
    """Whatever the scanner takes, Python takes, and as the same."""
    text = path.read_bytes()
    place %= len(text)
    changed = text[:place] + data + text[place + cut :]
    found = core.scan(changed)
    if found is not None:
        assert found == structure(changed)


words = st.text(st.characters(min_codepoint=1), max_size=8)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 63), (1 << 64) - 1),
        words,
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
    max_leaves=20,
)


@SETTINGS
@given(st.dictionaries(words, values, max_size=5), st.booleans(), st.sampled_from([None, 1, "\t"]))
@example({"process": {"args": ["\U0001f600", '"\\/\b'], "env": []}, "annotations": {"é": "\n"}}, True, None)
def test_any_object(core, members, ascii, indent):
    try:
        data = json.dumps(members, ensure_ascii=ascii, indent=indent).encode()
    except UnicodeEncodeError:
        return
    found = core.scan(data)
    if found is None:
        # A list slot that is none is all that is well-formed and refused here.
        assert any(name in members for name in ("process", "hooks", "annotations")) or "\\ud" in data.decode()
    else:
        assert found == structure(data)


def test_the_slots_are_those_of_the_model():
    """Every property that the model makes a list slot, and no other."""

    def walk(view, slots):
        for made in vars(view).values():
            if isinstance(made, model.arguments):
                yield (made.name,), LIST
            elif isinstance(made, model.child):
                yield from (((made.name, *path), kind) for path, kind in walk(made.argument, slots))
            elif isinstance(made, model.children):
                yield from (((made.name, None, *path), kind) for path, kind in walk(made.argument, slots))

    def listed(slots):
        for key, inner in slots.items() if isinstance(slots, dict) else [(None, slots[0])]:
            if inner in (LIST, RAW):
                yield (key,), inner
            else:
                yield from (((key, *path), kind) for path, kind in listed(inner))

    found = dict(listed(SLOTS))
    assert found.pop(("annotations",)) == RAW
    assert found == dict(walk(model.Config, SLOTS))


def test_too_large(core):
    assert core.scan(b'{"a":"' + b"x" * (1 << 20) + b'"}') is None
    with pytest.raises(ConfigError):
        parse(b'{"a":"')
