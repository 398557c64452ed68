"""Kept seccomp filters: found again for the very same profile, refused where anything about them is not as it must be."""

import json
import os
import subprocess
import sys
from copy import deepcopy

import pytest

from ocirt.cli import spec
from ocirt.cli.cache import as_table, clear, entries, row_of
from ocirt.compile import seccomp
from ocirt.plan import filters
from ocirt.plan.filters import Filters
from ocirt.plan.steps import LoadSeccomp
from tests.unit.plans import config, host, plan
from tests.unit.test_import_budget import COMPILE, FORBIDDEN, SHOW

BUILD = "0" * 32
PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {
            "names": ["mkdir", "é"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 1,
            "args": [{"index": 0, "value": 1 << 63, "op": "SCMP_CMP_EQ"}],
        }
    ],
}


@pytest.fixture
def entry(folder, monkeypatch):
    """A filter that is kept."""
    library = folder / "library"
    library.write_text("")
    monkeypatch.setattr(filters, "_loaded", lambda: str(library).encode())
    kept = Filters(str(folder), BUILD)
    assert kept.find(PROFILE) is None
    kept.made(PROFILE, 0b111, b"12345678")
    kept.keep()
    (name,) = [name for name in os.listdir(folder) if name != "library"]
    assert found(folder) == (0b111, b"12345678")
    return folder / name


def found(folder, profile=PROFILE, build=BUILD):
    return Filters(str(folder), build).find(profile)


@pytest.mark.parametrize(
    "change",
    [
        {"defaultAction": "SCMP_ACT_LOG"},
        {"syscalls": []},
        {"flags": []},
        {"defaultErrnoRet": None},
        {"syscalls": [PROFILE["syscalls"][0] | {"errnoRet": True}]},
        {"syscalls": [PROFILE["syscalls"][0] | {"errnoRet": 1.0}]},
    ],
)
def test_another_profile(entry, change):
    assert found(entry.parent, PROFILE | change) is None


def test_the_same_profile_read_anew(entry):
    """What JSON gives twice is the same, whatever strings Python has met before."""
    assert found(entry.parent, json.loads(json.dumps(PROFILE))) == (0b111, b"12345678")
    names = deepcopy(PROFILE)
    names["syscalls"][0]["names"] = [sys.intern("mkdir"), "".join(["é"])]
    assert found(entry.parent, names) == (0b111, b"12345678")


def test_another_build(entry):
    assert found(entry.parent, build="1" * 32) is None


def test_another_library(entry):
    """libseccomp was upgraded since."""
    library = entry.parent / "library"
    library.write_text("newer")
    assert found(entry.parent) is None
    library.unlink()
    assert found(entry.parent) is None


def test_without_a_library_nothing_is_kept(folder, monkeypatch):
    monkeypatch.setattr(filters, "_loaded", lambda: b"")
    kept = Filters(str(folder), BUILD)
    kept.made(PROFILE, 0, b"")
    kept.keep()
    assert os.listdir(folder) == []


def test_damage(entry):
    whole = entry.read_bytes()
    for place in range(0, len(whole), 5):
        entry.write_bytes(whole[:place] + bytes((whole[place] ^ 1,)) + whole[place + 1 :])
        assert found(entry.parent) is None, place
        entry.write_bytes(whole[:place])
        assert found(entry.parent) is None, place
    entry.write_bytes(whole)
    assert found(entry.parent) is not None


def test_hostile_entries(entry):
    entry.chmod(0o622)
    assert found(entry.parent) is None
    entry.chmod(0o600)
    os.link(entry, entry.parent / "other")
    assert found(entry.parent) is None
    os.unlink(entry.parent / "other")
    if os.geteuid() == 0:
        os.chown(entry, 1, -1)
        assert found(entry.parent) is None
        os.chown(entry, 0, -1)
    assert found(entry.parent) is not None
    entry.rename(entry.parent / "elsewhere")
    entry.symlink_to(entry.parent / "elsewhere")
    assert found(entry.parent) is None
    entry.unlink()
    os.mkfifo(entry)
    assert found(entry.parent) is None


def test_a_filter_of_the_same_name_for_another_profile(folder, entry, monkeypatch):
    """The hash only finds: an entry that lies where that of another profile would is none of it."""
    monkeypatch.setattr(filters, "source_hash", lambda key, data: b"\0" * 8)
    kept = Filters(str(folder), BUILD)
    kept.made(PROFILE, 1, b"87654321")
    kept.keep()
    assert found(folder) == (1, b"87654321") and found(folder, PROFILE | {"syscalls": []}) is None


def test_compiling_takes_it(folder, monkeypatch):
    def compiled():
        kept = Filters(str(folder), BUILD)
        made = plan(config(linux__seccomp=PROFILE), on=host(), kept=kept)
        kept.keep()
        return [(step.filter, step.flags) for step in made.init + made.exec_program if isinstance(step, LoadSeccomp)]

    first = compiled()
    assert first and len(os.listdir(folder)) == 1
    monkeypatch.setattr(seccomp, "compiled", lambda profile: pytest.fail("compiled again"))
    assert compiled() == first


def test_what_is_known_needs_neither_libseccomp_nor_ctypes(folder, tmp_path):
    path = tmp_path / "config.json"
    # Only root may create the container of the default.
    members = spec.default() if os.geteuid() == 0 else spec.rootless(os.geteuid(), os.getegid())
    members["linux"]["seccomp"] = PROFILE
    path.write_text(json.dumps(members))

    def modules():
        program = COMPILE.replace(
            '"console-socket"',
            f'"cache": {str(folder / ("0" * 16 + ".0"))!r}, "cache-key": "create", "cache-request": ({{}}, {{}}), "console-socket"',
        )
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program + SHOW, path], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())

    assert "ctypes" in modules()
    again = modules()
    assert "ocirt.plan.filters" in again and "ctypes" not in again and "ocirt.compile.libseccomp" not in again
    assert not again & FORBIDDEN


def test_they_are_listed_and_cleared(entry, monkeypatch):
    build = type(sys)("ocirt._build")
    build.BUILD_ID = BUILD
    monkeypatch.setitem(sys.modules, "ocirt._build", build)
    (entry.parent / "library").unlink()
    ((name, read),) = entries(str(entry.parent))
    row = row_of(str(entry.parent), name, read)
    assert row["entry"] == entry.name and row["filter"] is True
    assert "a compiled filter of linux.seccomp" in as_table([row]).splitlines()[1]
    assert clear(str(entry.parent)) == 1 and os.listdir(entry.parent) == []
