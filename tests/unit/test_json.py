"""config.json's bytes: ocirt.model.json."""

import subprocess
import sys
from pathlib import Path

import pytest

from ocirt.errors import ConfigError
from ocirt.model.json import encode, member, parse

ROOT = Path(__file__).parents[2]


def error(data):
    with pytest.raises(ConfigError) as caught:
        parse(data)
    return str(caught.value)


def test_values_and_sources():
    members, sources = parse(
        b' {"a" : {"x": [1, -2, 18446744073709551615, 1.5, true, null]},\n'
        b'"b":"\\u00e9\\ud83d\\ude00","annotations":{ "k" :"\xc3\xa9\\n" } }\n'
    )
    assert members == {
        "a": {"x": [1, -2, 18446744073709551615, 1.5, True, None]},
        "b": "é\U0001f600",
        "annotations": {"k": "é\n"},
    }
    assert sources["annotations"] == '{ "k" :"é\\n" }'
    assert sources["b"] == '"\\u00e9\\ud83d\\ude00"'


def test_an_empty_object():
    assert parse(b" { } ") == ({}, {})


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "line 1 column 1: found the end, expected a value"),
        (b"   \n", "line 2 column 1: found the end, expected a value"),
        (b"[1]", "found an array, expected an object"),
        (b'"text"', 'found "text", expected an object'),
        (b"null", "found null, expected an object"),
        (b"[1] 2", 'line 1 column 5: found "2", expected the end'),
        (b"nope", 'line 1 column 1: found "nope", expected a value'),
        (b"{", "line 1 column 2: found the end, expected a property name in double quotes"),
        (b'{"a":1', 'line 1 column 7: found the end, expected "," or "}"'),
        (b'{"a":1,}', 'line 1 column 8: found "}", expected a property name in double quotes'),
        (b'{"a" 1}', 'line 1 column 6: found "1", expected ":"'),
        (b'{"a":}', 'line 1 column 6: found "}", expected a value'),
        (b'{"a":1 "b":2}', 'line 1 column 8: found a string, expected "," or "}"'),
        (b"{'a':1}", 'line 1 column 2: found "\'a", expected a property name in double quotes'),
        (b'{"a":1}x', 'line 1 column 8: found "x", expected the end'),
        (b'{"a":[1,2', 'line 1 column 10: found the end, expected "," or the end of the array or object'),
        (b'{"a":{"b" 1}}', 'line 1 column 11: found "1", expected ":"'),
        (b'{"a":{b:1}}', 'line 1 column 7: found "b", expected a property name in double quotes'),
        (b'{\n  "a": "x\n"}', "line 2 column 10: found invalid control character, expected a JSON string"),
        (b'{"a":"\\x"}', "line 1 column 7: found invalid \\escape, expected a JSON string"),
        (b'{"a":"x', "line 1 column 6: found unterminated string, expected a JSON string"),
        (b'{\n\n   "a": tru }', 'line 3 column 9: found "tru", expected a value'),
        (b'{"a":01}', 'line 1 column 7: found "1", expected "," or "}"'),
        (b"\xef\xbb\xbf{}", 'line 1 column 1: found "\\ufeff", expected a value'),
    ],
)
def test_syntax_errors_name_line_and_column(data, message):
    assert error(data) == f"config.json: {message}"


@pytest.mark.parametrize(
    "data, message",
    [
        (b'{"a":\n "\xff"}', "line 2 column 3: found the byte 0xff, expected UTF-8"),
        (b'{"a":"\xc3\xa9\xed\xa0\x80"}', "line 1 column 9: found the byte 0xed, expected UTF-8"),
    ],
)
def test_utf8_errors_name_line_and_byte(data, message):
    assert error(data) == f"config.json: {message}"


@pytest.mark.parametrize(
    "data, message",
    [
        (b'{"a": "NaN",\n "b": NaN}', "line 2 column 7: found NaN, expected a value"),
        (b'{"\\"NaN": [Infinity]}', "line 1 column 12: found Infinity, expected a value"),
        (b'{"a":-Infinity}', "line 1 column 6: found -Infinity, expected a value"),
    ],
)
def test_what_only_python_takes_for_json(data, message):
    assert error(data) == f"config.json: {message}"


@pytest.mark.parametrize(
    "data, message",
    [
        (b'{"a":1,\n"a":2}', 'line 2 column 1: found the key "a" a second time, expected each key once'),
        (b'{"a":{"b":[{}, {"c":1,"d":2,"c":3}]}}', 'a.b[1]: found the key "c" twice, expected each key once'),
        (b'{"x.y":{"b":{"c\\n":1,"c\\u000a":2}}}', '["x.y"].b: found the key "c\\n" twice, expected each key once'),
        (b'{"a":{"b":{"c":1,"c":2},"b":3}}', 'a: found the key "b" twice, expected each key once'),
    ],
)
def test_a_key_twice_in_one_object(data, message):
    # In the last one the inner object has been replaced: it has no path any more.
    assert error(data).removeprefix("config.json: ") in (message, 'found the key "c" twice, expected each key once')


def test_depth_and_size_are_bounded():
    assert error(b'{"a":' + b"[" * 200000 + b"]" * 200000 + b"}") == (
        "config.json: found values nested too deeply, expected at most some hundred levels"
    )
    assert error(b'{"a":' + b"1" * 5000 + b"}") == (
        "config.json: found a number of thousands of digits, expected one that fits into 64 bits"
    )


def test_paths():
    assert member("", "linux") == "linux"
    assert member("linux.sysctl", "net") == "linux.sysctl.net"
    assert member("linux.sysctl", "net.core") == 'linux.sysctl["net.core"]'
    assert member("annotations", "é\n\ud800") == 'annotations["\\u00e9\\n\\ud800"]'
    assert encode('a"\\\x00é') == '"a\\"\\\\\\u0000\\u00e9"'


FALLBACK = """
import sys
sys.path.insert(0, {root!r})
sys.modules["_json"] = None  # what an interpreter without the C scanner has
from ocirt.model.json import encode, parse
assert parse(b'{{"a": {{"b": [1, "x"]}}, "c": "\\\\u00e9"}}') == (
    {{"a": {{"b": [1, "x"]}}, "c": "\\u00e9"}}, {{"a": '{{"b": [1, "x"]}}', "c": '"\\\\u00e9"'}})
assert encode('a"\\u00e9') == '"a\\\\"\\\\u00e9"'
for data in (b'{{"a":{{"b":1,"b":2}}}}', b'{{"a":NaN}}', b'{{"a":'):
    try:
        parse(data)
    except Exception as error:
        print(error.path or "-", type(error).__name__)
"""


def test_without_the_c_scanner():
    script = FALLBACK.format(root=str(ROOT))
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True).stdout
    assert out.split("\n")[:3] == ["a ConfigError", "line 1 column 6 ConfigError", "line 1 column 6 ConfigError"]


def test_json_and_re_are_not_imported_where_nothing_is_wrong():
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from ocirt.model.json import parse; "
        "parse(b'{\"a\":[1]}'); print(*({'json', 're', 'json.decoder'} & set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        == "\n"
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"a": [1, {"b": 2}', "line 1 column 19: found the end"),
        ('{"a": {"b": tru}}', "line 1 column 13: found"),
        ('{"a": {"b" 1}}', "line 1 column 12: found"),
        ('{"a": ["x]}', "line 1 column 8: "),
    ],
)
def test_without_json_imported(text, message):
    """As create runs: in an interpreter that has not imported json, whose scanner then has no words for an error."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ocirt.errors import ConfigError; from ocirt.model.json import parse\n"
        "try: parse(sys.argv[2].encode())\nexcept ConfigError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(ROOT), text], capture_output=True, text=True, timeout=30
    )
    assert message in done.stdout, done
