"""Files of sandboxes, read and written from outside while the container is hostile."""

import errno
import os
import time

import pytest

from ocirt import Copy, FileError, Sandbox
from tests.integration.conftest import runtime
from tests.integration.sandboxes import describe

__all__ = ["runtime"]

SECONDS = float(os.environ.get("OCIRT_RACE_SECONDS", "1.5"))


@pytest.fixture
def outside(tmp_path):
    """A directory of the host, which nothing may read or change."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("the host's secret\n")
    before = folder.stat().st_mtime_ns
    yield folder
    assert os.listdir(folder) == ["secret"] and folder.stat().st_mtime_ns == before
    assert (folder / "secret").read_text() == "the host's secret\n"


@pytest.fixture
def live(image, runtime):
    with describe(Sandbox, image, runtime).open() as opened:
        yield opened


@pytest.mark.parametrize(
    "way", ["{}", "../../../../../../../..{}", "/proc/1/root{}", "/proc/self/cwd/../..{}", "/..{}"]
)
def test_links_lead_to_nothing_of_the_host(live, outside, way):
    live.run(["ln", "-s", way.format(outside), "/tmp/link"], check=True)
    for path in ("/tmp/link/secret", "/tmp/link"):
        with pytest.raises(FileError):
            live.files.read(path)
    try:
        live.files.write("/tmp/link/new", b"x")
    except FileError:
        pass
    live.files.remove("/tmp/link")


def test_a_link_that_is_swapped_for_a_directory(live, outside, attacker):
    """CVE-2018-15664 (docker cp): the name is now a directory of the container, now a link to the host's."""
    live.files.write("/tmp/attacker", attacker.read_bytes(), mode=0o755)
    live.run(["sh", "-c", f"mkdir /tmp/a; echo mine > /tmp/a/secret; ln -s {outside} /tmp/b"], check=True)
    found, end = set(), time.monotonic() + SECONDS
    with live.exec(["/tmp/attacker", "swap", "/tmp/a", "/tmp/b"]):
        while time.monotonic() < end:
            try:
                found.add(live.files.read("/tmp/a/secret"))
                live.files.write("/tmp/a/new", b"x")
                live.files.remove("/tmp/a/new")
            except FileError:
                found.add(None)
    assert found <= {b"mine\n", None} and b"mine\n" in found


def test_special_files_are_not_opened(live):
    # Not in /tmp itself: there a host with fs.protected_symlinks follows no link of another user's.
    make = "mkdir /tmp/a; mkfifo /tmp/a/fifo; ln -s fifo /tmp/a/link; nc -l -p 1 -s 127.0.0.1 & true"
    live.run(["sh", "-c", make], check=True)
    for path, kind in (("/tmp/a/fifo", "a fifo"), ("/tmp/a/link", "a fifo"), ("/tmp/a", "a directory")):
        with pytest.raises(FileError, match=f"found {kind}, expected a regular file"):
            live.files.read(path)
    for path in ("/proc/self/status", "/dev/null", "/proc/sys/kernel/core_pattern"):
        with pytest.raises(FileError, match="leads out of its file system") as caught:
            live.files.read(path)
        assert caught.value.errno == errno.EXDEV
        with pytest.raises(FileError):
            live.files.write(path, b"x")
    live.files.write("/tmp/a/fifo", b"now a file")
    assert live.files["/tmp/a/fifo"] == b"now a file"


def test_sizes_are_bounded(live):
    live.run(["sh", "-c", "truncate -s 1000000000000 /tmp/sparse; mkdir /tmp/many; cd /tmp/many; touch $(seq 200)"])
    with pytest.raises(FileError, match="found 1000000000000 bytes, expected at most 67108864; max_size= allows more"):
        live.files.read("/tmp/sparse")
    with pytest.raises(FileError, match="more than 100 names"):
        live.files.list("/tmp/many", max_names=100)


def test_a_file_that_grows_while_it_is_read(live):
    with live.exec(["sh", "-c", "while true; do head -c 100000 /dev/zero >> /tmp/grows; done"]):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                assert len(live.files.read("/tmp/grows", max_size="1m")) <= 1 << 20
            except FileError:
                pass


def test_deep_directories_are_removed(live):
    """However deep: their path is longer than the kernel takes, and each level would need a descriptor."""
    live.run(["sh", "-c", "cd /tmp; i=0; while [ $i -lt 1000 ]; do mkdir d; cd d; i=$((i+1)); done"], timeout=60)
    live.files.remove("/tmp/d")
    assert live.run(["ls", "/tmp"]).text == ""


def test_a_result_is_read_as_carefully(image, runtime, outside, tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    box = describe(Sandbox, image, runtime, files={"/project": Copy(repo)})
    result = box.run(
        ["sh", "-c", f"ln -s {outside} /project/out; ln -s {outside}/secret /tmp/link; ln -s .. /project/up"]
    )
    for path in ("/project/out/secret", "/tmp/link", "/project/up/etc/passwd"):
        with pytest.raises(FileError):
            _ = result.files[path]
    with pytest.raises(FileError, match="which leads out of the copy"):
        result.changes.apply()
    assert os.listdir(repo) == []
    assert len(list(result.changes)) == 3 and "added: /tmp/link" in result.changes.diff()


def test_what_is_applied_has_no_rights_of_others(image, runtime, tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    box = describe(Sandbox, image, runtime, files={"/project": Copy(repo)})
    box.run(["sh", "-c", "cp /bin/busybox /project/suid; chmod 4755 /project/suid"], check=True).changes.apply()
    assert (repo / "suid").stat().st_mode & 0o7777 == 0o755
    with pytest.raises(FileError, match="found a special file"):
        box.run(["mkfifo", "/project/fifo"], check=True).changes.apply()
