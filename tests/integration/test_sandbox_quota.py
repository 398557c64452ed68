"""A sandbox whose changes lie on disk, limited by a project quota."""

import gc
import os
import subprocess

import pytest

from ocirt import HostError, Pool, Sandbox
from tests.integration.harness import LIMIT
from tests.integration.library_fixtures import nothing_left, service
from tests.integration.sandboxes import describe

__all__ = ["nothing_left", "service"]

pytestmark = [pytest.mark.cgroupfs, pytest.mark.cgroups]


def called(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT)


@pytest.fixture
def disk(tmp_path):
    """A directory of an ext4 with project quotas."""
    image, place = tmp_path / "disk.ext4", tmp_path / "disk"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    assert called("mkfs.ext4", "-q", "-O", "quota,project", image).returncode == 0
    done = called("mount", "-o", "loop,prjquota", image, place)
    if done.returncode != 0:
        pytest.skip(f"this kernel mounts no ext4 with project quotas (CONFIG_QFMT_V2): {done.stderr.splitlines()[0]}")
    yield place
    assert called("umount", place).returncode == 0


def left(disk):
    return [name for name in os.listdir(disk) if name != "lost+found"]


def test_what_a_run_writes_lies_on_disk_and_is_limited(image, runtime, disk):
    box = describe(Sandbox, image, runtime, memory="16m", disk="24m", disk_in=disk, files={"/in/data": "in"})
    fill = "dd if=/dev/zero of=/tmp/much bs=64k"  # by blocks: in an emulated guest, single bytes take minutes
    result = box.run(["sh", "-c", f"cat /in/data; {fill} count=305 2>/dev/null; echo y > /tmp/y"])
    assert (result.text, result.stderr, result.oom) == ("in", b"", False)
    assert result.files["/tmp/y"] == b"y\n" and result.why.disk_limit == 0 and len(left(disk)) == 1
    rest = "head -c 99999 /dev/zero >> /tmp/much"  # the kernel refuses a page of which not all blocks fit
    result = box.run(["sh", "-c", f"{fill} count=610; {rest}; wc -c < /tmp/much"])
    assert b"writing" in result.stderr and 16 << 20 < int(result.text) <= 24 << 20
    assert result.why.disk_limit == 24 << 20 and "its disk is full" in str(result.why)
    assert [each.path for each in result.changes] == ["/tmp/much"]
    files = result.files
    del result
    gc.collect()
    assert files.list("/tmp") == ["much"]
    files.close()
    gc.collect()
    assert left(disk) == []


def test_many_files_are_limited(image, runtime, disk):
    box = describe(Sandbox, image, runtime, disk="1m", disk_in=disk)
    result = box.run(["sh", "-c", "n=0; while true > /tmp/$n; do n=$((n + 1)); done; ls /tmp | wc -l"])
    assert result.why.disk_limit == 1 << 20 and 500 < int(result.text) <= 1024


def test_an_open_sandbox_a_snapshot_and_a_pool(image, runtime, disk, tmp_path):
    box = describe(Sandbox, image, runtime, disk="8m", disk_in=disk)
    with box.open() as live:
        live.run(["sh", "-c", "echo prepared > /tmp/state"], check=True)
        snapshot = live.snapshot(tmp_path)
    with snapshot, Pool(snapshot.fork()[0], size=2) as pool:
        results = [pool.run(["sh", "-c", f"cat /tmp/state; echo {n} > /tmp/state"]) for n in range(3)]
        assert [result.text for result in results] == ["prepared\n"] * 3
        assert [result.files["/tmp/state"] for result in results] == [b"0\n", b"1\n", b"2\n"]
    del live, results, pool
    gc.collect()
    assert left(disk) == []


def test_what_a_killed_process_has_left_is_removed(service, image, runtime, disk):
    program = f"""
        box = ocirt.Sandbox(image, disk_in={str(disk)!r}, runtime=runtime, memory=None, cpus=None, processes=None)
        with box.open() as live:
            print("open", flush=True)
            time.sleep(60)
    """
    with service(program) as process:
        assert process.stdout.readline() == "open\n"
        process.kill()
    (old,) = left(disk)
    others = disk / ".ocirt-disk-others"
    others.mkdir()
    os.chown(others, 65534, 65534)
    result = describe(Sandbox, image, runtime, disk_in=disk).run(["true"])
    assert len(left(disk)) == 2 and old not in left(disk) and others.is_dir()
    del result


def test_a_file_system_without_project_quotas_is_refused(image, runtime, tmp_path):
    """Whatever this one is: not even root's file system has them by default."""
    with pytest.raises(HostError, match=f"disk_in: {tmp_path}: its file system has no project quotas"):
        describe(Sandbox, image, runtime, disk_in=tmp_path).run(["true"])
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".ocirt-disk")]
    with pytest.raises(HostError, match="disk_in: .*/none: "):
        describe(Sandbox, image, runtime, disk_in=tmp_path / "none").run(["true"])
