"""The law of the program cache for exec: what the executable binds to a command line, a process file and a container's config
is, byte for byte, what compiling gives; what compiling refuses, it does not bind."""

import json
import os
from copy import deepcopy

import pytest

from ocirt.cli.flags import GLOBAL
from ocirt.compile.exec import compile
from ocirt.errors import OcirtError
from ocirt.model.config import parse
from ocirt.model.exec import ExecRequest
from ocirt.model.json import parse as parse_json
from ocirt.model.request import Request
from ocirt.plan import cache
from ocirt.plan.encode import encoded
from ocirt.plan.entries import Entry
from tests.unit.core import cache_folder, group, ids, remove
from tests.unit.plans import host
from tests.unit.test_cache import BUILD, dump
from tests.unit.test_law import BASE, PLACES, put

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
CREATED = '{"verb":"create","cgroup-manager":"cgroupfs","rootless":"auto","own-cgroups":{}}'
FILE = {
    "cwd": "/",
    "args": ["ls"],
    "env": ["A=1"],
    "user": {"uid": 0, "gid": 0, "additionalGids": [5]},
    "oomScoreAdj": 7,
    "apparmorProfile": "",
    "capabilities": {"bounding": ["CAP_KILL"]},
    "rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 2}],
}


class Asked:
    """A process that is asked for: a container, flags, a command, a process file."""

    def __init__(self, flags=(), command=("true",), own=None, config=BASE, created=CREATED, id="c1", bundle="/bundle"):
        self.flags, self.command, self.config, self.created, self.id = dict(flags), list(command), config, created, id
        self.own, self.bundle = None if own is None else dump(own), bundle
        if own is not None:
            self.flags["process"] = "/p.json"

    @property
    def argv(self):
        of_all, own = [], []
        for name, value in self.flags.items():
            for each in value if isinstance(value, list) else [value]:
                (of_all if name in {flag.name for flag in GLOBAL} else own).append(
                    f"--{name}" if each is True else f"--{name}={each}"
                )
        return ["ocirt", *of_all, "exec", *own, self.id, "--", *self.command]

    @property
    def words(self):
        """As the launcher writes them for Python."""
        found = {"verb": "exec", "id": self.id, "root": "/run/ocirt", "bundle": self.bundle}
        for name, value in self.flags.items():
            if isinstance(value, list):
                found[name] = list(map(group, value)) if name == "additional-gids" else value
            elif name == "user":
                found[name] = ids(value)
            elif value != "":  # which is as if the flag was not given
                found[name] = "1" if value is True else value
        return found

    def compiled(self):
        """Config and program, ``None`` where it is refused."""
        try:
            request = ExecRequest(self.words, self.command)
            container = Request(
                {**json.loads(self.created), "id": self.id, "root": "/run/ocirt", "bundle": self.bundle}
            )
            config, members = parse(dump(self.config)), None if self.own is None else parse_json(self.own)[0]
            return config, members, encoded(compile(config, container, members, request, host()), BUILD)
        except OcirtError:
            return None

    def find(self, core, folder):
        found = core.find_exec(folder, self.argv, dump(self.config), self.own, self.created, self.bundle)
        assert found is not None, "the executable does not read the command line"
        return found

    def keep(self, core, folder):
        """Compile it and keep its program, as after a miss. Was there one to keep?"""
        found, place = self.compiled(), self.find(core, folder)
        if found is None or not isinstance(place, tuple) or not place[0]:
            return False
        cache.keep(*place, found[0], host(), found[2], BUILD, found[1])
        return True


def law(core, first, second):
    """What the second finds, after the first was kept: ``None`` is a miss."""
    folder = cache_folder()
    try:
        first.keep(core, folder)
        found = second.find(core, folder)
    finally:
        remove(folder)
    if not isinstance(found, bytes):
        return None
    right = second.compiled()
    assert right is not None, "a process that is refused was bound"
    assert found == right[2].data
    return found


SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "listenerPath": "/s",
    "architectures": [],
    "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
}


@pytest.mark.parametrize(
    "first, second",
    [
        (Asked(), Asked(command=["sh", "-c", ""])),
        (Asked(), Asked(command=["\udcff", "\udc80é"])),
        (Asked({"env": ["A=1"]}), Asked({"env": ["A=\udcff"]})),
        (Asked({"cwd": "/a"}), Asked({"cwd": "/\udcff"})),
        (Asked(), Asked(id="another.id", bundle="/elsewhere")),
        (
            Asked(config=BASE | {"linux": BASE["linux"] | {"seccomp": SECCOMP}}),
            Asked(config=BASE | {"linux": BASE["linux"] | {"seccomp": SECCOMP}}, id="another.id", bundle="/elsewhere"),
        ),
        (Asked({"env": ["A=1"], "cwd": "/a"}), Asked({"env": ["B=2", "C=", "D=é"], "cwd": "/b/c"})),
        (Asked({"user": "1:2"}), Asked({"user": "0003:4294967294"})),
        (Asked({"user": "1"}), Asked({"user": "5"})),
        (Asked({"additional-gids": ["1", "2"]}), Asked({"additional-gids": ["7", "0"]})),
        (Asked({"cap": ["CAP_KILL"]}), Asked({"cap": ["CAP_KILL"]})),
        (Asked({"pid-file": "/a", "log": "/l"}), Asked({"pid-file": "/b", "debug": True})),
        (
            Asked({"tty": True, "detach": True, "console-socket": "/a"}),
            Asked({"tty": True, "detach": True, "console-socket": "/b"}),
        ),
        (Asked({"cgroup": ["cpu:a"]}), Asked({"cgroup": ["cpu:a"]})),
        (Asked(own=FILE), Asked(own=FILE | {"cwd": "/b", "args": ["a", "b"], "env": [], "oomScoreAdj": -1})),
        (
            Asked(own=FILE),
            Asked(own=FILE | {"user": {"uid": 6, "gid": 7, "additionalGids": [8]}}, command=["passed", "over"]),
        ),
    ],
)
def test_what_is_one_shape(core, first, second):
    assert law(core, first, first) is not None and law(core, first, second) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"command": []},
        {"flags": {"env": ["A=1"]}},
        {"flags": {"user": "1"}},
        {"flags": {"cap": ["CAP_KILL"]}},
        {"flags": {"tty": True}},
        {"flags": {"detach": True}},
        {"flags": {"no-new-privs": True}},
        {"flags": {"preserve-fds": "1"}},
        {"flags": {"cwd": "/"}},
        {"flags": {"ignore-paused": True}},
        {"flags": {"cgroup": ["a"]}},
        {"own": FILE},
        {"flags": {"no-cache": True}},
        {"created": CREATED.replace("auto", "true")},
        {"created": CREATED.replace("{}", '{"/sys/fs/cgroup/pids":"/x"}')},
        {"flags": {"systemd-cgroup": True}},
        {"id": "a b"},
        {"bundle": "/b", "config": BASE | {"hooks": {}}},
    ],
)
def test_what_is_another(core, change):
    argv = Asked(**change)
    assert law(core, Asked(), argv) is None


@pytest.mark.parametrize(
    "first, second",
    [
        ({"user": "1"}, {"user": "1:2"}),
        ({"user": "1"}, {"user": "root"}),
        ({"user": "1"}, {"user": "4294967296"}),
        ({"env": ["A=1"]}, {"env": ["A"]}),
        ({"env": ["A=1"]}, {"env": ["=A"]}),
        ({"env": ["A=1"]}, {"env": ["A=1", ""]}),
        ({"cwd": "/a"}, {"cwd": "a"}),
        ({"cgroup": ["a"]}, {"cgroup": ["\udcff"]}),
        ({"cwd": "/a"}, {"cwd": ""}),
        ({"cap": ["CAP_KILL"]}, {"cap": ["CAP_CHOWN"]}),
        ({"cap": ["CAP_KILL"]}, {"cap": ["CAP_KILL", "CAP_CHOWN"]}),
        ({"additional-gids": ["1"]}, {"additional-gids": ["1", "2"]}),
        ({"additional-gids": ["1"]}, {"additional-gids": ["x"]}),
        ({"cgroup": ["a"]}, {"cgroup": ["b"]}),
        ({"preserve-fds": "1"}, {"preserve-fds": "2"}),
        ({"pid-file": "/a"}, {"pid-file": ""}),
    ],
)
def test_flags_that_make_another(core, first, second):
    assert law(core, Asked(first), Asked(first)) is not None
    assert law(core, Asked(first), Asked(second)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"cwd": "relative"},
        {"args": []},
        {"apparmorProfile": "x"},
        {"rlimits": []},
        {"terminal": True},
        {"args": ["\0"]},
        {"oomScoreAdj": 1001},
        {"capabilities": {"bounding": ["CAP_CHOWN"]}},
        {"user": {"uid": 1 << 32, "gid": 0, "additionalGids": [5]}},
        {"cwd": "/\ud800"},
        {"oomScoreAdj": None},
        {"rlimits": [{"type": "RLIMIT_AS", "soft": 1, "hard": 2}]},
    ],
)
def test_process_files_that_make_another(core, change):
    assert law(core, Asked(own=FILE), Asked(own=FILE | change)) is None


text = st.one_of(
    st.sampled_from(
        [
            "",
            "/",
            "/a",
            "a=b",
            "=",
            "A",
            "1",
            "1:2",
            "4294967296",
            "-1",
            "CAP_KILL",
            "CAP_CHOWN",
            "cpu:a",
            "..",
            "é",
            "\udcff",
            "0" * 11,
            "x" * 5000,
            "/" + "y" * 5000,
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)
NAMES = st.fixed_dictionaries(
    {},
    optional={
        "env": st.lists(text, min_size=1, max_size=3),
        "cap": st.lists(text, min_size=1, max_size=2),
        "cwd": text,
        "user": text,
        "additional-gids": st.lists(text, min_size=1, max_size=2),
        "cgroup": st.lists(text, min_size=1, max_size=2),
        "apparmor": text,
        "process-label": text,
        "preserve-fds": st.sampled_from(["0", "1", "x", ""]),
        "no-new-privs": st.just(True),
        "tty": st.just(True),
        "detach": st.just(True),
        "ignore-paused": st.just(True),
        "pid-file": st.just("/pid"),
        "console-socket": st.just("/socket"),
    },
)
hostile = st.one_of(st.sampled_from(["", "/", "ro", "CAP_KILL", "x" * 4096, "/é", "\ud800", "\0"]), st.text(max_size=5))
FILES = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"cwd": hostile, "args": st.lists(hostile, max_size=2)},
        optional={
            "env": st.lists(hostile, max_size=2),
            "terminal": st.booleans(),
            "apparmorProfile": hostile,
            "selinuxLabel": hostile,
            "oomScoreAdj": st.one_of(st.none(), st.integers(-1001, 1001)),
            "rlimits": st.just([]),
            "noNewPrivileges": st.booleans(),
            "user": st.fixed_dictionaries(
                {"uid": st.integers(-1, 1 << 33), "gid": st.integers(0, 5)},
                optional={"additionalGids": st.lists(st.integers(0, 9), max_size=2), "umask": st.integers(0, 600)},
            ),
            "capabilities": st.dictionaries(
                st.sampled_from(["bounding", "ambient", "inheritable"]), st.lists(hostile, max_size=1)
            ),
            "x": st.just([{"y": 1.5}]),
        },
    ),
)


@SETTINGS
@given(NAMES, NAMES, st.lists(text, max_size=2), st.lists(text, max_size=3))
def test_one_command_line_and_another(core, first, second, command, other):
    law(core, Asked(first, command), Asked(second, other, id="other", bundle="/elsewhere"))


@SETTINGS
@given(NAMES, st.data())
def test_one_flag_changed(core, flags, data):
    second = dict(flags)
    if flags:
        name = data.draw(st.sampled_from(sorted(flags)))
        if name in ("env", "cap", "additional-gids", "cgroup"):
            second[name] = data.draw(st.lists(text, min_size=1, max_size=3))
        elif isinstance(flags[name], str):
            second[name] = data.draw(text)
    law(core, Asked(flags), Asked(second))


@SETTINGS
@given(FILES, FILES, NAMES)
def test_one_process_file_and_another(core, first, second, flags):
    law(core, Asked(flags, own=first), Asked(flags, own=second))
    law(core, Asked(own=first), Asked(own=first))


@SETTINGS
@given(st.sampled_from(sorted(PLACES, key=str)), st.data(), FILES)
def test_one_value_of_the_config_changed(core, place, data, own):
    first, second = deepcopy(BASE), deepcopy(BASE)
    put(first, place, data.draw(PLACES[place]))
    put(second, place, data.draw(PLACES[place]))
    law(core, Asked(config=first, own=own), Asked(config=second, own=own))


def test_an_entry_can_be_read(core, folder):
    asked = Asked({"env": ["A=1"], "user": "1:2"}, own=FILE)
    assert asked.keep(core, folder)
    (name,) = os.listdir(folder)
    entry = Entry((folder / name).read_bytes())
    assert entry.verb == "exec" and entry.words()[-1] == f"created={CREATED}"
    assert [path for path, _ in entry.leaves()][-3:] == [
        "--process.rlimits[0].type",
        "--process.rlimits[0].soft",
        "--process.rlimits[0].hard",
    ]


def test_create_and_exec_do_not_meet(core, folder):
    assert Asked().keep(core, folder)
    assert isinstance(core.find(folder, dump(BASE)), tuple)
