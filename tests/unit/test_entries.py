"""Entries of the program cache as people read them: what was written, and the executable's own verdict on every config."""

import json
import os
import re
from copy import deepcopy

import pytest

from ocirt.cli.flags import FLAGS, GLOBAL, NATIVE, PYTHONS
from ocirt.compile import compile
from ocirt.model.config import parse
from ocirt.model.json import parse as parse_json
from ocirt.model.shape import Shape
from ocirt.plan import cache
from ocirt.plan.encode import encoded
from ocirt.plan.entries import (
    DamagedEntry,
    Entry,
    difference,
    leaves,
    other_request,
    other_structure,
    request_of,
    unscanned,
    words_of,
)
from tests.unit.core import cache_folder, remove
from tests.unit.plans import DATA, host, request
from tests.unit.test_cache import BUILD, dump, keep
from tests.unit.test_law import BASE, PLACES, configs, put

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
KEY, BOUND = {"verb": "create"}, {"id": "c1", "root": "/run/ocirt", "bundle": "/bundle"}


def shape_of(data):
    return Shape(parse_json(data)[0], request=(KEY, BOUND))


def entry_of(core, folder, members):
    """The one entry that a config leaves, ``None`` where it is refused, or where the scanner takes none of it (a NUL)."""
    for name in os.listdir(folder):
        os.unlink(folder / name)
    if not keep(core, folder, dump(members)) or core.scan(dump(members)) is None:
        return None
    (name,) = os.listdir(folder)
    return Entry((folder / name).read_bytes())


def test_it_reads_what_was_written(core, folder):
    entry = entry_of(core, folder, BASE)
    config = parse(dump(BASE))
    encoded(compile(config, request(), host()), BUILD)
    shape, paths = shape_of(dump(BASE)), [path for path, _ in entry.leaves()]
    assert (entry.build, entry.structure.encode()) == (BUILD, shape.structure)
    assert paths == list(shape.leaves) and [letter for _, letter in entry.leaves()] == shape.letters
    guards = {paths[source.number]: value for source, value in entry.guards if not source.name}
    assert (
        guards["ociVersion"] == BASE["ociVersion"] and guards["mounts[0].options[0]"] == BASE["mounts"][0]["options"][0]
    )
    asked = {
        (paths[source.number] if not source.name else source.name, name): answer
        for source, name, _, answer in entry.tests
    }
    for (path, name, _), answer in config.trace.tests.items():
        if path in asked:
            assert asked[path, name] is answer
    assert ("linux.cgroupsPath", "is_absolute") in asked
    slots = {paths[source.number] if not source.name else source.name: checks for source, _, checks in entry.slots}
    assert slots["hostname"] == {"max_length": 64} and slots["$id"] == {} and slots["process.cwd"]["absolute"]
    assert slots["process.oomScoreAdj"] == {"low": -1000, "high": 1000}
    assert set(slots) <= set(config.trace.slots)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.json")), ids=lambda path: path.stem)
def test_the_values_of_a_structure(path):
    shape = Shape(parse_json(path.read_bytes())[0])
    assert leaves(shape.structure.decode()) == list(zip(shape.leaves, shape.letters))


def test_observations(core, folder):
    facts = host()
    facts.observed = {("t", "/proc/x"): "7\n", ("d", "/dev"): "5"}
    path, key, request_members = core.find(folder, dump(BASE))
    config = parse(dump(BASE))
    program = encoded(compile(config, request(), host()), BUILD)
    cache.keep(path, key, request_members, config, facts, program, BUILD)
    (name,) = os.listdir(folder)
    entry = Entry((folder / name).read_bytes())
    assert entry.observed == [("t", "/proc/x", "7\n"), ("d", "/dev", "5")]
    wrong = difference(entry, shape_of(dump(BASE)), host())
    assert wrong == 'the text of /proc/x: found nothing, the program is for "7\\n"'


# ---- the law: what the executable does with an entry is what is said of it ----


def law(core, folder, first, second):
    entry = entry_of(core, folder, first)
    shape = shape_of(dump(second))
    if entry is None or entry.structure.encode() != shape.structure:
        return None
    hit = not isinstance(core.find(folder, dump(second)), tuple)
    wrong = unscanned(shape, len(dump(second))) or difference(entry, shape, host())
    assert hit == (wrong is None), wrong
    return wrong


@SETTINGS
@given(configs(), configs())
def test_one_config_and_another(core, first, second):
    folder = cache_folder()
    try:
        law(core, folder, first, second)
    finally:
        remove(folder)


@SETTINGS
@given(st.sampled_from(sorted(PLACES, key=str)), st.data())
def test_one_value_changed(core, place, data):
    first, second = deepcopy(BASE), deepcopy(BASE)
    put(first, place, data.draw(PLACES[place]))
    put(second, place, data.draw(PLACES[place]))
    folder = cache_folder()
    try:
        wrong = law(core, folder, first, second)
        if wrong is not None:
            assert re.match(r"[a-z]+", wrong) and ": found " in wrong
    finally:
        remove(folder)


@pytest.mark.parametrize(
    "place, value, sentence",
    [
        (("mounts", 0, "type"), "ext4", r'mounts[0].type: found "ext4", the program is for "tmpfs"'),
        (("linux", "cgroupsPath"), "x", "linux.cgroupsPath: is_absolute: found no, the program is for yes"),
        (("process", "args"), [], "process.args: is_empty: found yes, the program is for no"),
        (
            ("process", "oomScoreAdj"),
            1001,
            "process.oomScoreAdj: found 1001, the program takes a number from -1000 to 1000",
        ),
        (("process", "cwd"), "x", 'process.cwd: found "x", the program takes an absolute path'),
        (("hostname",), "x" * 65, f'hostname: found "{"x" * 56}..., the program takes at most 64 bytes'),
    ],
)
def test_what_differs(core, folder, place, value, sentence):
    second = deepcopy(BASE)
    put(second, place, value)
    assert second != BASE
    entry = entry_of(core, folder, BASE)
    kind = dict(entry.leaves())["mounts[0].type"]
    assert kind == "s"
    found = law(core, folder, BASE, second)
    assert found == sentence.replace('"tmpfs"', json.dumps(BASE["mounts"][0]["type"]))


def test_other_structures(core, folder):
    entry = entry_of(core, folder, BASE)

    def said(change):
        members = deepcopy(BASE)
        change(members)
        return other_structure(entry, shape_of(dump(members)))[1]

    assert said(lambda config: config["process"].update(noNewPrivileges=None)).startswith(
        "process.noNewPrivileges: found null"
    )
    assert (
        said(lambda config: config.pop("hostname"))
        == "hostname: found nothing, the program is for a config with a string there"
    )
    assert (
        said(lambda config: config.update(domainname="d"))
        == "domainname: found a string, the program is for a config without"
    )
    assert "found in another place among the keys" in said(lambda config: config.update(process=config.pop("process")))
    assert said(lambda config: config.update(x={})) == "empty objects or arrays stand in other places"


@pytest.mark.parametrize(
    "place, value, sentence",
    [
        (("hostname",), "a\0", 'hostname: found "a\\u0000", expected a string without NUL and half surrogate pairs'),
        (
            ("process", "env"),
            ["\ud800"],
            'process.env: found "\\ud800", expected a string without NUL and half surrogate pairs',
        ),
        (("process", "args"), [1], "process.args: found 1, expected strings only"),
        (("annotations",), {"a": None}, "annotations: found null, expected strings only"),
        (("process", "oomScoreAdj"), 1 << 64, f"process.oomScoreAdj: found {1 << 64}, expected a number of 64 bits"),
    ],
)
def test_what_the_executable_does_not_look_up(core, folder, place, value, sentence):
    members = deepcopy(BASE)
    put(members, place, value)
    assert unscanned(shape_of(dump(members)), 1) == sentence
    assert core.scan(dump(members)) is None
    assert unscanned(shape_of(dump(BASE)), 1) is None and core.scan(dump(BASE)) is not None


def test_a_large_config_is_not_looked_up(core):
    large = dump(BASE) + b" " * (1 << 20)
    assert "1048576" in unscanned(shape_of(large), len(large)) and core.scan(large) is None


# ---- the command line ----


def test_the_request_as_the_launcher_writes_it(core, folder):
    _, key, members = core.find(folder, dump(BASE), systemd=True)
    assert (key, members) == request_of(KEY | {"systemd-cgroup": "1"}, BOUND)
    assert [list(each) for each in members] == [["verb", "systemd-cgroup"], list(BOUND)]
    assert request_of({"verb": 'a"\n\x01é'}, {})[0] == '{"verb":"a\\"\\n\\u0001é"}'


def test_a_flag_is_the_same_for_all_verbs():
    """There is one row of it in flags.h."""
    for flag in GLOBAL + sum([verb.flags for verb in NATIVE.values()], ()):
        if flag.part == PYTHONS:
            continue
        known = FLAGS[flag.name]
        assert (flag.part, flag.form, flag.repeats) == (known.part, known.form, known.repeats), flag.name


def test_other_requests(core, folder):
    entry = entry_of(core, folder, BASE)
    assert entry.words() == ["create", "id", "root", "bundle"]
    assert words_of('{"verb":"run","no-pivot":"1"}', ["$user.uid", "$cap[0]", "$cap[1]", "$no-pivot"]) == [
        "run",
        "user",
        "cap",
        'no-pivot="1"',
    ]
    assert other_request(entry, ["run", "id", "root", "bundle"]) == "verb: found run, the program is for create"
    assert (
        other_request(entry, ["create", "id", "root", "bundle", 'no-pivot="1"'])
        == 'command line: found no-pivot="1", the program is for one without'
    )
    assert other_request(entry, ["create", "id", "root"]) == "command line: found no bundle, which the program is for"


# ---- what is no entry ----


@SETTINGS
@given(st.data())
@example(None)
def test_a_damaged_entry_is_said_to_be_one(core, data):
    folder = cache_folder()
    try:
        assert keep(core, folder, dump(BASE))
        (name,) = os.listdir(folder)
        whole = (folder / name).read_bytes()
        if data is None:
            return Entry(whole)
        place, kind = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.sampled_from(["flip", "cut", "add"]))
        changed = {
            "flip": whole[:place] + bytes((whole[place] ^ data.draw(st.integers(1, 255)),)) + whole[place + 1 :],
            "cut": whole[:place],
            "add": whole[:place] + b"\0" + whole[place:],
        }[kind]
        try:
            entry = Entry(changed)
            if entry.structure.encode("utf-8", "surrogateescape") == shape_of(dump(BASE)).structure:
                difference(entry, shape_of(dump(BASE)), host())
            entry.leaves(), entry.words()
        except DamagedEntry:
            pass
    finally:
        remove(folder)


@pytest.mark.parametrize("data", [b"", b"ocirtkep", b"\0" * 400])
def test_no_entries(data):
    with pytest.raises(DamagedEntry):
        Entry(data)


@pytest.mark.parametrize("text", [":", "}", ":a", "s}s"])
def test_no_structures(text):
    with pytest.raises(DamagedEntry):
        leaves(text)
