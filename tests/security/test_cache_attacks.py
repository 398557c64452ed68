"""The cache of programs as a target: what lies there is used only if it is ours, whole, of this build, and fits."""

import json
import os
import subprocess

import pytest

from tests.integration.harness import LIMIT, PARENT, remove_cgroups


@pytest.fixture
def cache(tmp_path_factory, ocirt):
    place = tmp_path_factory.mktemp("cache")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", place], check=True, timeout=LIMIT)
    ocirt.environment = {**os.environ, "OCIRT_CACHE": str(place)}
    yield place
    subprocess.run(["umount", place], check=True, timeout=LIMIT)


def kept(ocirt, bundle, cache):
    """The one entry of a bundle that has been run."""
    ocirt.ok("run", "--bundle", bundle, "c1")
    (entry,) = cache.iterdir()
    return entry


@pytest.fixture
def poisoned(ocirt, bundle, cache):
    """The bundle's entry, to be changed."""
    return kept(ocirt, bundle.shell("echo good").save(), cache)


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def test_flipped_and_cut_entries(ocirt, bundle, cache, poisoned):
    """Each is a miss or a program that ends: no crash, no container left. (Every byte, against the binder and under sanitizers:
    tests/unit/test_fuzz.py.)"""
    data = poisoned.read_bytes()
    changed = [flip(data, at) for at in range(0, len(data), max(1, len(data) // 60))] + [
        data[:size] for size in (0, 1, 8, 100, len(data) // 2, len(data) - 1)
    ]
    changed += [data + b"\0", b"\0" * len(data), data * 2]
    for each in changed:
        poisoned.write_bytes(each)
        result = ocirt("run", "--bundle", bundle, "c1")
        # A template's own bytes are the owner's word: they may name another program, or none.
        assert result.status in (0, 1), result
        ocirt.ok("delete", "--force", "c1")
        assert ocirt.ids() == [], result
        remove_cgroups()  # a changed step of delete may name another cgroup than the one that was made


@pytest.mark.parametrize(
    "how", ["owner", "mode", "link", "hardlink", "directory", "fifo", "device", "size", "build", "format"]
)
def test_foreign_entries(ocirt, bundle, cache, poisoned, how, tmp_path):
    """An entry that somebody else owns or may write, that is a link or no file, or is of another build: compiled anew."""
    data = poisoned.read_bytes()
    if how == "owner":
        os.chown(poisoned, 1000, 1000)
    elif how == "mode":
        poisoned.chmod(0o666)
    elif how == "link":
        poisoned.rename(cache / "entry")
        poisoned.symlink_to(cache / "entry")
    elif how == "hardlink":
        os.link(poisoned, cache / "other")
    elif how == "directory":
        poisoned.unlink()
        poisoned.mkdir()
    elif how == "fifo":
        poisoned.unlink()
        os.mkfifo(poisoned)
    elif how == "device":
        poisoned.unlink()
        os.mknod(poisoned, 0o20600, os.makedev(1, 5))
    elif how == "size":
        os.truncate(poisoned, 17 << 20)
    elif how == "build":
        poisoned.write_bytes(data[:24] + b"0" * 16 + data[40:])
    elif how == "format":
        poisoned.write_bytes(data[:8] + (99).to_bytes(4, "little") + data[12:])
    trace = subprocess.run(
        ["strace", "-f", "-e", "trace=execve", *ocirt.command("run", "--bundle", bundle, "c1")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=ocirt.environment,
    )
    assert trace.returncode == 0 and trace.stdout == "good\n" and "@compile" in trace.stderr, trace


@pytest.mark.parametrize("how", ["link", "owner", "group", "served"])
def test_foreign_directories(ocirt, bundle, cache, how, tmp_path):
    """A directory of the cache that is a link, another's, open to a group or not on a local file system, whose server could change
    an entry after it has been compared: there is no cache."""
    place = cache / "programs"
    place.mkdir(mode=0o700)
    if how == "link":
        place.rename(cache / "real")
        place.symlink_to(cache / "real")
    elif how == "owner":
        os.chown(place, 1000, 0)
    elif how == "group":
        place.chmod(0o770)
    elif how == "served":
        for name in ("lower", "upper", "work"):
            (tmp_path / name).mkdir(mode=0o700)
        subprocess.run(
            [
                "fuse-overlayfs",
                "-o",
                f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work",
                place,
            ],
            check=True,
            timeout=LIMIT,
        )
    ocirt.environment["OCIRT_CACHE"] = str(place)
    bundle.shell("echo good").save()
    assert ocirt.ok("run", "--bundle", bundle, "c1").out == "good\n"
    found = list(place.iterdir())
    if how == "served":
        subprocess.run(["umount", place], check=True, timeout=LIMIT)
    assert found == []


HOSTILE = ["", "/proc", "relative", "/../../etc", "x" * 5000, "/" + "x" * 4200, "a\nb", "with\0nul", None, []]
HOSTILE_CGROUPS = [
    f"{PARENT}/proc",
    f"{PARENT.strip('/')}-relative",
    "/../../etc",
    "x" * 5000,
    "/" + "x" * 4200,
    f"{PARENT}/a\nb",
    "/with\0nul",
    [],
]
"""None that would stand beside the tests' own."""


@pytest.mark.parametrize(
    "path",
    [
        "hostname",
        "process.cwd",
        "linux.cgroupsPath",
        "mounts.0.destination",
        "mounts.0.source",
        "root.path",
        "linux.maskedPaths.0",
        "process.args.0",
        "process.env.0",
    ],
)
def test_values_that_a_kept_program_must_not_take(ocirt, bundle, cache, path):
    """A template bound to another config gives what compiling that config gives: the same error or the same container."""
    bundle.args("true").save()
    kept(ocirt, bundle, cache)
    document = json.loads((bundle.path / "config.json").read_text())
    holder, *rest = document, *path.split(".")
    for name in rest[:-1]:
        holder = holder[int(name) if name.isdigit() else name]
    name = int(rest[-1]) if rest[-1].isdigit() else rest[-1]
    for value in HOSTILE_CGROUPS if path == "linux.cgroupsPath" else HOSTILE:
        holder[name] = value
        (bundle.path / "config.json").write_text(json.dumps(document))
        results = []
        for flags in ((), ("--no-cache",)):
            result = ocirt("run", *flags, "--bundle", bundle, "c1")
            results.append((result.status, result.out, result.err.split(" level=")[1:]))
            assert ocirt.ids() == []
        assert results[0] == results[1], (path, value)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"process": {"args": ["true"], "args": ["echo", "evil"]}}',
        '{"\\u0061rgs": ["x"], "args": ["y"]}',
        '{"hostname": "a\\u0000b"}',
        '{"hostname": "\\ud800"}',
        "\ufeff{}",
        '{"a": 01}',
        '{"a": 1e999}',
        '{"a": NaN}',
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": "\t"}',
        "{/**/}",
        '{"a": .5}',
        '{"a": 18446744073709551616}',
        '{"a": -9223372036854775809}',
        '{"a": "\\x41"}',
    ],
    ids=repr,
)
def test_two_parsers_of_one_file(ocirt, bundle, cache, text):
    """What the scanner in C and Python's parser could read differently (the class of CVE-2021-43784): with a kept program
    for what the one might see, the answer is that of the other."""
    bundle.args("true").save()
    kept(ocirt, bundle, cache)
    good = (bundle.path / "config.json").read_text()
    for config in (text, good.rstrip()[:-1] + ", " + text.strip().lstrip("{\ufeff")):
        (bundle.path / "config.json").write_text(config)
        results = []
        for flags in ((), ("--no-cache",)):
            result = ocirt("run", *flags, "--bundle", bundle, "c1")
            results.append((result.status, result.out, result.err.split(" level=")[1:]))
        assert results[0] == results[1]
