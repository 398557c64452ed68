"""``ocirt cache``: what is kept, why a bundle misses, and the end of it."""

import json
import os
import sys
from copy import deepcopy

import pytest

from ocirt.boot import run
from ocirt.cli import cache as verb
from ocirt.cli.flags import NATIVE
from ocirt.errors import HostError
from ocirt.plan.cache import FILTER_MAGIC, MAGIC
from tests.unit.test_cache import BUILD, dump, keep, strangers
from tests.unit.test_law import BASE

ROOT = "/run/ocirt"
"""That of tests/core/shared.c."""


@pytest.fixture
def folder(folder, monkeypatch):
    monkeypatch.setenv("OCIRT_CACHE", str(folder))
    build = type(sys)("ocirt._build")
    build.BUILD_ID = BUILD
    monkeypatch.setitem(sys.modules, "ocirt._build", build)
    return folder


@pytest.fixture
def bundle(tmp_path):
    def make(change=lambda config: None):
        config = deepcopy(BASE)
        change(config)
        (tmp_path / "config.json").write_bytes(dump(config))
        return tmp_path

    return make


def ocirt_cache(*arguments):
    return run(["@cli", "9", "-1", "ocirt", "--root", ROOT, "cache", *map(str, arguments)])


def explain(capfd, *arguments):
    assert ocirt_cache("explain", *arguments) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out.splitlines()


def test_an_empty_cache(folder, bundle, capfd):
    assert ocirt_cache("list") == 0
    assert capfd.readouterr().out.split() == list(verb.COLUMNS)
    assert ocirt_cache("list", "--format", "json") == 0
    assert capfd.readouterr().out == "[]\n"
    assert explain(capfd, bundle()) == [f"miss: no program of this build is kept in {folder}"]
    assert ocirt_cache("clear") == 0
    assert capfd.readouterr().out == f"removed 0 entries from {folder}\n"


def test_list(core, folder, capfd):
    keep(core, folder, dump(BASE))
    (name,) = os.listdir(folder)
    size = os.stat(folder / name).st_size
    os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    assert ocirt_cache("list", "--format=json") == 0
    (row,) = json.loads(capfd.readouterr().out)
    assert (row["entry"], row["size"], row["verb"], row["build"], row["ours"]) == (name, size, "create", BUILD, True)
    assert (
        (row["made"], row["used"]) == ("2023-11-14T22:13:20Z", None)
        and row["guards"] > 10 < row["slots"]
        and row["tests"] > 5
    )
    assert row["request"] == "create id root bundle" and row["properties"] == list(BASE) and row["values"] > 20
    os.utime(folder / name, (1_700_000_060, 1_700_000_000))
    assert ocirt_cache("list") == 0
    head, line = capfd.readouterr().out.splitlines()
    assert head.split() == list(verb.COLUMNS)
    assert line.split()[:3] == [name, str(size), "create"] and "2023-11-14T22:14:20Z  ours" in line
    assert line.endswith(f"values of {', '.join(BASE)}")


def test_hits_are_counted(core, folder, capfd):
    """Of an entry that is written anew, too: from nothing."""
    keep(core, folder, dump(BASE))
    (name,) = os.listdir(folder)
    written = os.stat(folder / name).st_mtime_ns
    for hits in range(4):
        assert ocirt_cache("list", "--format=json") == 0
        (row,) = json.loads(capfd.readouterr().out)
        assert row["hits"] == hits
        assert not isinstance(core.find(folder, dump(BASE)), tuple)
    assert ocirt_cache("list") == 0
    head, line = capfd.readouterr().out.splitlines()
    assert line.split()[head.split().index("HITS")] == "4" and os.stat(folder / name).st_mtime_ns == written
    os.unlink(folder / name)
    keep(core, folder, dump(BASE))
    assert ocirt_cache("list", "--format=json") == 0
    assert json.loads(capfd.readouterr().out)[0]["hits"] == 0


def test_a_hit_is_seen(core, folder, capfd):
    """By the file's access time; that `list` itself reads the entry is not taken for one."""
    if os.statvfs(folder).f_flag & os.ST_NOATIME:
        pytest.skip("/dev/shm keeps no access times here")
    keep(core, folder, dump(BASE))
    (name,) = os.listdir(folder)
    os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    for used in (False, False, True):
        if used:
            assert not isinstance(core.find(folder, dump(BASE)), tuple)
        assert ocirt_cache("list", "--format=json") == 0
        (row,) = json.loads(capfd.readouterr().out)
        assert (row["used"] is not None) is used


def test_what_is_no_entry_and_what_is_anothers(core, folder, bundle, capfd):
    keep(core, folder, dump(BASE))
    (name,) = os.listdir(folder)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:24] + b"f" * 32 + whole[56:])
    (folder / f"{'0' * 16}.3").write_bytes(b"nonsense")
    (folder / "something").write_bytes(b"else")
    assert ocirt_cache("list") == 0
    _, damaged, others = capfd.readouterr().out.splitlines()
    assert damaged.split()[:3] == [f"{'0' * 16}.3", "8", "-"] and damaged.endswith(
        "not an entry, or an entry of another format"
    )
    assert others.split()[10] == "other"
    assert explain(capfd, bundle()) == [f"miss: no program of this build is kept in {folder}, 1 of others"]


def test_a_hit(core, folder, bundle, capfd):
    keep(core, folder, dump(BASE))
    (name,) = os.listdir(folder)
    assert explain(capfd, bundle()) == [f"hit: {name} is for this bundle"]
    assert explain(capfd, bundle(lambda config: config.update(hostname="another"))) == [
        f"hit: {name} is for this bundle"
    ]


def test_a_value_that_differs(core, folder, bundle, capfd):
    for number in range(2):
        config = deepcopy(BASE)
        config["mounts"][0]["type"] = f"fs{number}"
        keep(core, folder, dump(config))
    first, second = sorted(os.listdir(folder))
    assert explain(capfd, bundle(lambda config: config["mounts"][0].update(type="ext4"))) == [
        "miss: programs of this structure are for others:",
        f'  {first}: mounts[0].type: found "ext4", the program is for "fs0"',
        f'  {second}: mounts[0].type: found "ext4", the program is for "fs1"',
    ]


def test_no_such_structure(core, folder, bundle, capfd):
    keep(core, folder, dump(BASE))
    far = deepcopy(BASE)
    del far["mounts"], far["hooks"]
    keep(core, folder, dump(far))
    place = core.find(folder, dump(BASE))
    assert not isinstance(place, tuple)
    near = next(name for name, entry in verb.entries(folder) if "hooks" in entry.structure)
    assert explain(capfd, bundle(lambda config: config.update(domainname="d"))) == [
        "miss: no program of this structure and command line; the nearest:",
        f"  {near}: domainname: found a string, the program is for a config without",
    ]


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--run"], "verb: found run, the program is for create"),
        (["--no-pivot"], 'command line: found no-pivot="1", the program is for one without'),
        (["--preserve-fds", "2"], 'command line: found preserve-fds="2", the program is for one without'),
        (["--layer", "/a:b", "--layer=/c"], 'command line: found layer="/a\\\\:b:/c", the program is for one without'),
    ],
)
def test_another_command_line(core, folder, bundle, capfd, flags, words):
    keep(core, folder, dump(BASE))
    (name,) = os.listdir(folder)
    assert explain(capfd, bundle(), *flags)[1] == f"  {name}: {words}"


def test_a_config_that_never_hits(folder, bundle, capfd):
    assert explain(capfd, bundle(lambda config: config.update(hostname="a\0"))) == [
        'miss, always: hostname: found "a\\u0000", expected a string without NUL and half surrogate pairs'
    ]
    assert explain(capfd, bundle(lambda config: config.update({"\ud800": 1}))) == [
        "miss, always: found half a surrogate pair in a key"
    ]


def test_clear(core, folder, capfd):
    """Entries, filters and what a killed writer has left are removed, and no file of anybody else's."""
    keep(core, folder, dump(BASE))
    (folder / f"filter.{'1' * 16}").write_bytes(FILTER_MAGIC + b"rest")
    (folder / f"{'0' * 16}.0.new").write_bytes(b"")
    (folder / f"{'0' * 16}.1.new").write_bytes(MAGIC + b"half")
    others = strangers(folder)
    assert ocirt_cache("clear") == 0
    assert capfd.readouterr().out == f"removed 2 entries from {folder}\n"
    assert sorted(os.listdir(folder)) == sorted(others)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["frob"], 'cache \\"frob\\": expected list, explain or clear'),
        (["list", "x"], 'cache list \\"x\\": expected no argument'),
        (["explain", "/nowhere"], "/nowhere/config.json: no such file or directory"),
        ([], "requires"),
    ],
)
def test_a_wrong_command_line(folder, capfd, arguments, words):
    assert ocirt_cache(*arguments) == 1
    assert words in capfd.readouterr().err


# ---- the directory ----


def test_the_directory(folder, monkeypatch, tmp_path):
    """The first of the places that is fit: one that is emptied at each boot before one that is not."""
    user = 12345 if os.geteuid() == 0 else os.geteuid()
    every = {"XDG_RUNTIME_DIR": "/run/user/5", "XDG_CACHE_HOME": "/cache", "HOME": "/home/u"}

    def chosen(environment, euid, fit="/"):
        monkeypatch.setattr(verb, "unfit", lambda directory, euid: None if directory.startswith(fit) else "unfit")
        return verb.directory_of({"OCIRT_CACHE": "", **environment}, euid)

    for fit, euid, expected in [
        ("/", 0, "/run/ocirt-cache"),
        ("/", user, "/run/user/5/ocirt-cache"),
        ("/var", 0, "/var/cache/ocirt"),
        ("/cache", user, "/cache/ocirt"),
        ("/home", user, "/home/u/.cache/ocirt"),
        ("/home", 0, "/home/u/.cache/ocirt"),
    ]:
        assert chosen(every, euid, fit) == expected
    assert chosen({"OCIRT_CACHE": "/x"}, user) == "/x"
    for environment, words in [
        ({"OCIRT_CACHE": "off"}, "the cache is off"),
        ({}, "HOME name no directory"),
        ({"HOME": "relative"}, "HOME name no directory"),
    ]:
        with pytest.raises(HostError, match=words):
            chosen(environment, user)
    with pytest.raises(
        HostError, match="/run/user/5/ocirt-cache: unfit; /cache/ocirt: unfit; /home/u/.cache/ocirt: unfit"
    ):
        chosen(every, user, "/nowhere")
    import ocirt

    monkeypatch.setattr(ocirt, "__path__", [*ocirt.__path__, "/build"])
    with pytest.raises(HostError, match="only if OCIRT_CACHE names a directory"):
        verb.directory_of({}, 0)


def test_a_directory_that_is_not_fit(folder, tmp_path):
    assert verb.unfit(str(folder), os.geteuid()) is None
    assert (
        verb.unfit(f"{folder}/missing", os.geteuid()) is None
        and verb.unfit(f"{folder}/missing/too", os.geteuid()) is None
    )
    assert "this user may not make it in /proc" in verb.unfit("/proc/missing", os.geteuid()) or os.geteuid() == 0
    assert "expected 1 and 0700" in verb.unfit(str(folder), 1)
    folder.chmod(0o750)
    assert "mode 0750" in verb.unfit(str(folder), os.geteuid())
    (tmp_path / "link").symlink_to(folder)
    assert "expected a directory" in verb.unfit(str(tmp_path / "link"), os.geteuid())


@pytest.mark.parametrize(
    "type, device, fit",
    [
        ("tmpfs", 0, True),
        ("overlay", 0, True),
        ("btrfs", 0, True),
        ("ext4", 0x801, True),
        ("nfs4", 0, False),
        ("9p", 0, False),
        ("fuse.sshfs", 0, False),
        ("fuseblk", 0x801, False),
        ("ceph", 0, False),
    ],
)
def test_only_local_file_systems(folder, monkeypatch, type, device, fit):
    monkeypatch.setattr(verb, "file_system", lambda path: type)
    monkeypatch.setattr(os, "major", lambda number: device >> 8)
    assert verb.unfit(str(folder), os.geteuid()) == (
        None if fit else f"found a file system of type {type}, expected a local one"
    )


def test_the_type_of_a_file_system():
    assert verb.file_system("/proc/self/status") == "proc" and verb.file_system("/dev/shm") == "tmpfs"


def test_flags_of_create_and_run(core):
    """Whatever create's and run's programs depend on can be given to explain."""
    from ocirt.cli.flags import OTHER, PYTHON, PYTHONS

    flags = {
        flag.name for each in ("create", "run") for flag in NATIVE[each].flags if flag.part not in (OTHER, PYTHONS)
    }
    assert flags - {"bundle"} <= {flag.name for flag in PYTHON["cache"].flags}
