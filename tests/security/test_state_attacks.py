"""The state directory, ids and files of the caller in hostile hands."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from tests.integration.harness import LIMIT, TREE

VERBS = (
    ("state",),
    ("start",),
    ("kill",),
    ("delete",),
    ("delete", "--force"),
    ("pause",),
    ("resume",),
    ("exec",),
    ("update", "--pids-limit", "10"),
)


def words(verb, name):
    return (*verb, name, "true") if verb == ("exec",) else (*verb, name, "KILL") if verb == ("kill",) else (*verb, name)


@pytest.mark.parametrize("how", ["owner", "writable", "link"])
def test_a_state_directory_of_somebody_else(ocirt, bundle, tmp_path, how):
    """What is stored there is run with the caller's rights: a directory that another user owns, that others may write to, or
    that is a link is not used by any verb; and what create makes is the caller's alone."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"touch {tmp_path}/evil"]}
    bundle.config["hooks"] = {"poststop": [hook]}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    place = ocirt.root / "c1"
    assert place.stat().st_mode & 0o777 == 0o700 and ocirt.root.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in place.iterdir() if path.is_file())
    pid, journal = ocirt.state("c1")["pid"], (place / "journal").read_bytes()
    if how == "owner":
        os.chown(place, 1000, 1000)
    elif how == "writable":
        place.chmod(0o777)
    else:
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
    for verb in VERBS:
        result = ocirt(*words(verb, "c1"))
        # A link is no container: `delete --force` has what it asks for.
        expected = 255 if verb == ("exec",) else 0 if how == "link" and verb == ("delete", "--force") else 1
        assert result.status == expected and len(result.err.splitlines()) == (expected != 0), (verb, result)
    assert os.path.exists(f"/proc/{pid}") and not (tmp_path / "evil").exists()
    assert (place / "journal").read_bytes() == journal
    if how == "link":
        place.unlink()
        (tmp_path / "elsewhere").rename(place)
    os.chown(place, 0, 0)
    place.chmod(0o700)
    ocirt.ok("delete", "--force", "c1")
    assert (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "names", [["private"], ["journal", "private"], ["program", "private"], ["state.json", "config.json"]]
)
def test_a_directory_with_files_that_are_not_the_runtimes(ocirt, names):
    """--root may name a directory in which others keep theirs (/var/lib, another runtime's): no verb takes one for a container,
    and `delete --force` removes nothing."""
    ocirt.root.mkdir(mode=0o700)
    place = ocirt.root / "c1"
    place.mkdir(mode=0o700)
    for name in names:
        (place / name).write_bytes(b"private" * 600 if name != "journal" else bytes(4096))
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    for verb in VERBS:
        result = ocirt(*words(verb, "c1"))
        forced = verb == ("delete", "--force")  # asks that there is no container, and there is none
        assert result.status == (0 if forced else 255 if verb == ("exec",) else 1), (verb, result)
        assert forced or "does not exist" in result.err, (verb, result)
    assert ocirt.ok("list", "--format=json").out == "null\n"
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    for path in list(place.iterdir()):
        path.unlink()
    (place / "journal").write_bytes(bytes(4096))  # what a create that was cut off leaves
    ocirt.ok("delete", "--force", "c1")
    assert not place.exists()


def test_what_the_list_opens_for_somebody_else(ocirt, bundle, tmp_path):
    """state.json names the file that tells whether a container is paused. Another user's must not make root open what it likes:
    a device, say, that acts when it is opened."""
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    place = ocirt.root / "c1"
    state = json.loads((place / "state.json").read_text())
    (tmp_path / "one").write_text("1\n")
    shown = {}
    for owner in (0, 1000):
        for path in (str(tmp_path / "one"), f"/sys/fs/cgroup/../../..{tmp_path}/one", state["pausedFile"]):
            (place / "state.json").write_text(json.dumps({**state, "pausedFile": path}))
            os.chown(place, owner, owner)
            trace = subprocess.run(
                ["strace", "-f", "-e", "trace=openat", *ocirt.command("list", "--format=json")],
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=LIMIT,
                env=ocirt.environment,
            )
            (row,) = json.loads(trace.stdout)
            by_library = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    f"from ocirt.state_dir import read; print(read({str(ocirt.root)!r}, 'c1').status)",
                ],
                capture_output=True,
                text=True,
                timeout=LIMIT,
                cwd=TREE,
                check=True,
            ).stdout.strip()
            assert row["status"] == by_library
            shown[owner, path] = row["status"], f'"{path}"' in trace.stderr
    assert list(shown.values()) == [("paused", True)] * 2 + [("created", True)] + [("created", False)] * 2 + [
        ("created", True)
    ]
    os.chown(place, 0, 0)


def forge(name, data):
    """Changed forms of a file of the state directory."""
    step = max(1, len(data) // 25)
    yield from (data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] for at in range(0, len(data), step))
    yield from (data[:size] for size in (0, 1, 7, 8, 64, len(data) // 2, len(data) - 1))
    yield data + b"\0"
    yield b"\xff" * len(data)


@pytest.mark.parametrize("name", ["program", "journal", "state.json"])
def test_forged_files(ocirt, bundle, name):
    """Every verb answers to a damaged file by an error or as if it were whole: it never dies by a signal, and never prints a
    traceback."""
    bundle.args("true").save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    path = ocirt.root / "c1" / name
    data = path.read_bytes()
    for count, forged in enumerate(forge(name, data)):
        path.write_bytes(forged)
        for verb in (("state",), ("list",), ("pause",), ("resume",)) if count % 4 == 0 else (("state",),):
            result = ocirt(*(verb if verb == ("list",) else words(verb, "c1")))
            assert result.status in (0, 1) and "Traceback" not in result.err and "internal error" not in result.err, (
                count,
                verb,
                result,
            )
    path.write_bytes(data)
    ocirt.ok("delete", "--force", "c1")


@pytest.mark.parametrize("what", ["directory", "fifo", "link", "device"])
@pytest.mark.parametrize("name", ["program", "journal"])
def test_files_that_are_none(ocirt, bundle, tmp_path, name, what):
    """No verb follows a link there, or waits."""
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    path = ocirt.root / "c1" / name
    data = path.read_bytes()
    path.unlink()
    if what == "directory":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "link":
        (tmp_path / "target").write_bytes(data)
        path.symlink_to(tmp_path / "target")
    else:
        os.mknod(path, 0o20600, os.makedev(1, 5))
    for verb in (("state",), ("list",), ("start",)):
        result = ocirt(*(verb if verb == ("list",) else words(verb, "c1")), timeout=LIMIT)
        assert result.status in (0, 1) and "Traceback" not in result.err, result
    path.rmdir() if what == "directory" else path.unlink()
    path.write_bytes(data)
    ocirt.ok("delete", "--force", "c1")


IDS = [
    "",
    ".",
    "..",
    "/",
    "a/b",
    "../c1",
    "c1/",
    "/etc",
    "a b",
    "a\nb",
    "a\tb",
    "*",
    "a;b",
    "$(id)",
    "a\\b",
    "ü",
    "\x7f",
    "a" * 256,
    "--",
    "-x",
    "a\x01",
    "%s",
    "@cli",
]


@pytest.mark.parametrize("id", IDS, ids=repr)
def test_odd_ids(ocirt, bundle, tmp_path, id):
    """An id is a name of a directory below --root: everything else is an error of every verb, and touches nothing."""
    (tmp_path / "file").write_text("content")
    bundle.save()
    before = sorted(str(path) for path in tmp_path.rglob("*") if "rootfs" not in str(path))
    for verb in (("create", "--bundle", str(bundle)), ("run", "--bundle", str(bundle)), *VERBS):
        result = ocirt(*(words(verb, id) if verb[0] not in ("create", "run") else (*verb, id)))
        # `--` ends the flags, and then there is no id; what begins with a dash is a flag.
        assert result.status in (1, 255) or (verb == ("delete", "--force") and result.status == 0), (verb, result)
        assert "Traceback" not in result.err
    after = sorted(str(path) for path in tmp_path.rglob("*") if "rootfs" not in str(path) and path != ocirt.root)
    assert [path for path in before if path != str(ocirt.root)] == after


def test_a_config_that_changes_while_it_is_read(ocirt, bundle):
    """What is compiled is what is kept: one of the two, whole, or an error; never a part of each."""
    path = bundle.path / "config.json"
    bundle.config["annotations"] = {"filler": "x" * 200000}
    texts = []
    for word in ("one", "two"):
        bundle.config["hostname"] = word
        bundle.args("sh", "-c", "echo $(hostname) $0", word).save()
        texts.append(path.read_text())
    done = threading.Event()

    def change():
        while not done.is_set():
            for text in texts:
                path.write_text(text)
            os.truncate(path, 100)

    thread = threading.Thread(target=change)
    thread.start()
    seen, end = set(), time.monotonic() + 3
    try:
        while time.monotonic() < end or not seen:
            result = ocirt("run", "--bundle", bundle, "c1")
            assert (result.status == 0 and result.out in ("one one\n", "two two\n")) or (
                result.status == 1 and len(result.err.splitlines()) == 1
            ), result
            seen.add(result.out)
            assert ocirt.ids() == []
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("what", ["fifo", "directory", "device", "socketless link", "huge"])
def test_a_config_that_is_no_file(ocirt, bundle, tmp_path, what):
    """Nothing waits for it, and nothing grows with it."""
    path = bundle.path / "config.json"
    path.unlink()
    if what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "socketless link":
        path.symlink_to(path)
    else:
        with open(path, "w") as file:
            file.truncate(1 << 40)
    assert "config.json" in ocirt.fails("create", "--bundle", bundle, "c1", timeout=LIMIT)
    assert ocirt.ids() == []


def test_a_bundle_on_a_full_file_system(ocirt, bundle, tmp_path):
    """No place for the directories that mounts need, in the rootfs: an error, nothing left, neither mounts nor cgroups."""
    place = tmp_path / "full"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=1200", "tmpfs", place], check=True, timeout=LIMIT)
    try:
        subprocess.run(["cp", "-a", bundle.path, place / "bundle"], check=True, timeout=LIMIT)
        config = json.loads((place / "bundle/config.json").read_text())
        config["root"]["readonly"] = False
        config["mounts"].append({"destination": "/new/deep/directory", "type": "tmpfs", "source": "tmpfs"})
        (place / "bundle/config.json").write_text(json.dumps(config))
        for number in range(1300):
            try:
                (place / f"file{number}").touch()
            except OSError:
                break
        assert "no space left on device" in ocirt.fails("create", "--bundle", place / "bundle", "c1")
        assert ocirt.ids() == []
    finally:
        subprocess.run(["umount", place], check=True, timeout=LIMIT)


def test_pid_file_and_log_through_links(ocirt, bundle, tmp_path):
    """A pid file is renamed into place: a link of that name is replaced, what it points at is not written to."""
    (tmp_path / "victim").write_text("victim")
    (tmp_path / "pid").symlink_to(tmp_path / "victim")
    bundle.save()
    ocirt.ok("create", "--pid-file", tmp_path / "pid", "--bundle", bundle, "c1")
    assert (tmp_path / "victim").read_text() == "victim" and not (tmp_path / "pid").is_symlink()
    assert int((tmp_path / "pid").read_text()) == ocirt.state("c1")["pid"]
