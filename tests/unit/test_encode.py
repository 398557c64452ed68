"""Plan to program: the tables of ocirt.plan.encode, read back as the executor reads them."""

import json
import struct

import pytest

from ocirt.compile import compile
from ocirt.errors import ConfigError
from ocirt.model.config import parse
from ocirt.model.text import Number, Template, Text, Texts, Trace, bound
from ocirt.plan import Plan
from ocirt.plan.encode import BUILD_SIZE, HEADER_TABLES, MAGIC, encode
from ocirt.plan.steps import SECTIONS, STEPS, Facts, FindExecutable, PrepareExec, SetHostname, SetRlimit
from tests.unit.plans import DATA, config, host, plan, request

BUILD = "0123456789abcdef" * 2


class Program:
    """A program taken apart again."""

    def __init__(self, data):
        assert data[:8] == MAGIC
        self.format, self.size = struct.unpack_from("<II", data, 8)
        assert self.size == len(data)
        self.build = data[16 : 16 + BUILD_SIZE].decode()
        self.tables = {}
        for index, name in enumerate(HEADER_TABLES):
            offset, size = struct.unpack_from("<II", data, 16 + BUILD_SIZE + 8 * index)
            assert offset % 8 == 0
            self.tables[name] = data[offset : offset + size]
        self.slots = list(struct.iter_unpack("<IIIIq", self.tables["slots"]))
        self.patches = dict(self.rows("patches", 2))

    def rows(self, table, count):
        return list(struct.iter_unpack(f"<{count}I", self.tables[table]))

    def data(self, offset, size):
        text = self.tables["data"][offset : offset + size + 1]
        assert text.endswith(b"\0") and len(text) == size + 1
        return text[:-1].decode()

    def piece(self, kind, a, b):
        if kind == 0:
            return self.data(a, b)
        slot_kind, _, offset, size, number = self.slots[a]
        assert slot_kind == kind - 1
        return self.data(offset, size) if kind == 1 else str(number)

    def string(self, index):
        first, count = self.rows("strings", 2)[index]
        return "".join([self.piece(*piece) for piece in self.rows("pieces", 3)[first : first + count]])

    def list(self, index):
        first, count = self.rows("lists", 2)[index]
        found = []
        for kind, at in self.rows("items", 2)[first : first + count]:
            if kind == 0:
                found.append(self.string(at))
            else:
                slot_kind, entries, offset, size, _ = self.slots[at]
                assert slot_kind == 2
                text = self.data(offset, size)
                entries_found = text.split("\0")[:-1] if text else []
                assert len(entries_found) == entries
                found += entries_found
        return found

    def facts(self):
        indexes = [index for (index,) in struct.iter_unpack("<Q", self.tables["facts"])]
        return {name: self.string(index) for name, index in zip(Facts.fields, indexes, strict=True)}

    def sections(self):
        """Section -> list of (name of the step, its path, its fields)."""
        steps, found = self.tables["steps"], {}
        for name, (at, count) in zip(SECTIONS, self.rows("sections", 2)):
            found[name] = []
            for _ in range(count):
                code, size, path = struct.unpack_from("<HHI", steps, at)
                step = STEPS[code]
                assert size == 8 + 8 * len(step.fields)
                fields = {}
                for index, (field, kind) in enumerate(step.fields.items()):
                    where = at + 8 + 8 * index
                    value = struct.unpack_from("<q", steps, where)[0]
                    if where in self.patches:
                        assert value == 0 and kind == "number"
                        value = self.slots[self.patches[where]][4]
                    fields[field] = {"text": self.string, "texts": self.list, "section": SECTIONS.__getitem__}.get(
                        kind, int
                    )(value)
                found[name].append((step.__name__, self.string(path), fields))
                at += size
        return found


def expected(plan):
    def signed(value):
        value &= (1 << 64) - 1
        return value - (1 << 64) if value >> 63 else value

    def field(kind, value):
        value = bound(value)
        return {"text": str, "texts": list, "section": str}.get(kind, signed)(value)

    def fields(step):
        return {key: field(kind, getattr(step, key)) for key, kind in step.fields.items()}

    return {
        name: [(type(step).__name__, step.at, fields(step)) for step in steps] for name, steps in plan.sections.items()
    }


RICH = config(
    hostname="bóx",
    annotations={"a\n": "\u00e9"},
    process__args=["a", "", "ü"],
    process__env=[],
    process__rlimits=[{"type": "RLIMIT_CORE", "soft": 0, "hard": (1 << 64) - 1}],
    process__oomScoreAdj=-7,
    mounts=[{"destination": "/t", "type": "tmpfs", "options": ["ro", "size=5", "sync"]}],
    linux__namespaces=[{"type": "mount"}, {"type": "uts"}, {"type": "network", "path": "/n"}],
    linux__resources={
        "memory": {"limit": 5, "swap": -1},
        "devices": [{"allow": True, "type": "c", "major": 1, "access": "r"}],
    },
    hooks={"poststop": [{"path": "/h", "args": ["x"], "env": ["A=b"], "timeout": 3}]},
)


@pytest.mark.parametrize(
    "made",
    [
        lambda: plan(RICH, host()),
        lambda: compile(parse((DATA / "runc-spec.json").read_bytes()), request(console_socket="/s"), host()),
        lambda: plan(config()),
    ],
)
def test_there_and_back(made):
    plan = made()
    program = Program(encode(plan, BUILD))
    assert program.build == BUILD and program.sections() == expected(plan)
    assert program.facts() == {name: bound(getattr(plan.facts, name)) for name in plan.facts.fields}


def test_the_annotations_are_the_files_bytes():
    data = json.dumps(RICH, ensure_ascii=False).encode().replace(b'"annotations": {', b'"annotations" :{ ')
    made = compile(parse(data), request(), host())
    assert Program(encode(made, BUILD)).facts()["annotations"] == '{ "a\\n": "é"}'


def test_what_is_passed_on_is_recorded():
    made = plan(RICH, host())
    encode(made, BUILD)
    for path in (
        "hostname",
        "process.args",
        "process.env",
        "annotations",
        "mounts[0].options[1]",
        "$id",
        "$bundle",
        "linux.resources.memory.limit",
    ):
        assert path in made.trace.slots, path
    assert "mounts[0].type" in made.trace.guards


@pytest.mark.parametrize(
    "changes, path",
    [
        ({"process__args": ["a", "b\0c"]}, "process.args[1]"),
        ({"process__env": ["A=\ud800"]}, "process.env[0]"),
        ({"root": {"path": "a\0"}}, "root.path"),
        ({"mounts": [{"destination": "/\0", "type": "tmpfs"}]}, "mounts[0].destination"),
        (
            {"linux__sysctl": {"net.a\0b": "1"}, "linux__namespaces": [{"type": "mount"}, {"type": "network"}]},
            'linux.sysctl["net.a\\u0000b"]',
        ),
    ],
)
def test_what_no_system_call_takes(changes, path):
    with pytest.raises(ConfigError) as caught:
        encode(plan(config(**changes), host()), BUILD)
    assert caught.value.path == path


def test_equal_strings_are_stored_once():
    trace = Trace()
    made = Plan(trace)
    made.sections["init"] = [SetHostname("hostname", name="same"), SetHostname("hostname", name="same")]
    assert Program(encode(made, BUILD)).tables["data"].count(b"same\0") == 1


def test_a_template_of_every_kind_of_piece():
    trace = Trace()
    made = Plan(trace)
    name = Template("x") + Text("yé", "a", trace) + "-" + Number(-5, "b", trace) + Text("", "c", trace)
    made.sections["init"] = [
        SetHostname("at", name=name),
        FindExecutable("at", args=["a", Texts(["b", "c"], "d", trace), Template("e")], env=Texts([], "e", trace)),
    ]
    made.sections["exec_program"] = [PrepareExec("at", preserve=Number(7, "f", trace))]
    found = Program(encode(made, BUILD)).sections()
    assert found["init"][0][2]["name"] == "xyé--5"
    assert found["init"][1][2] == {"args": ["a", "b", "c", "e"], "env": []} and found["exec_program"][0][2] == {
        "preserve": 7
    }


def test_numbers_are_64_bit_patterns():
    made = Plan(Trace())
    made.sections["init"] = [SetRlimit("at", resource=-1, soft=(1 << 64) - 1, hard=1 << 63, name="n")]
    assert Program(encode(made, BUILD)).sections()["init"][0][2] == {
        "resource": -1,
        "soft": -1,
        "hard": -(1 << 63),
        "name": "n",
    }
