"""ocirt.Sandbox of a user without root's rights: in a user namespace, where the program's user is 0, which is the caller."""

import os
import shutil
import textwrap

import pytest

from tests.integration.harness import UID
from tests.integration.library_fixtures import run_as_user

pytestmark = pytest.mark.rootless


BEGIN = "rootfs, unlimited = {!r}, dict(memory=None, processes=None, cpus=None)\n"
"""tests/integration/test_rootless.py has limits."""


def run_in(user, rootfs, program):
    return run_as_user(user, BEGIN.format(str(rootfs)) + textwrap.dedent(program))


@pytest.fixture
def rootfs(image, tmp_path):
    """A root file system of the user's."""
    root = tmp_path / "home/rootfs"
    shutil.copytree(image, root, symlinks=True)
    for folder, folders, files in os.walk(root):
        for name in ("", *folders, *files):
            os.chown(os.path.join(folder, name), UID, UID, follow_symlinks=False)
    return root


def test_runs_of_a_users_sandbox(user, rootfs, tmp_path):
    """Files in and out, the size of the disk, a Copy and its changes; the image does not change."""
    repo = tmp_path / "home/repo"
    repo.mkdir()
    (repo / "old").write_text("old\n")
    for each in (repo, repo / "old"):
        os.chown(each, UID, UID)
    program = f"""
        files = {{"/in/data": "in", "/project": ocirt.Copy({str(repo)!r})}}
        box = ocirt.Sandbox(rootfs, disk="1m", files=files, runtime=runtime, **unlimited)
        script = "id -u; cat /in/data; rm /project/old; echo n > /project/new; head -c 3000000 /dev/zero > /tmp/much"
        result = box.run(["sh", "-c", script])
        assert result.text == "0\\nin" and result.stderr, result
        print([(each.path, each.kind) for each in result.changes])
        result = box.run(["sh", "-c", "ls /tmp; cd /project; rm old; echo n > new"], check=True)
        assert result.text == ""
        result.changes.apply()
        print(ocirt.Container.list(runtime=runtime))
    """
    before = sorted(rootfs.rglob("*"))
    done = run_in(user, rootfs, program)
    changes = "[('/tmp/much', 'added'), ('/project/new', 'added'), ('/project/old', 'removed')]"
    assert (done.stdout.splitlines(), done.stderr) == ([changes, "[]"], ""), done
    assert sorted(rootfs.rglob("*")) == before
    assert os.listdir(repo) == ["new"] and (repo / "new").stat().st_uid == UID


def test_a_pool_of_a_users_sandbox(user, rootfs):
    program = """
        box = ocirt.Sandbox(rootfs, files={"/in/data": "in"}, runtime=runtime, **unlimited)
        with ocirt.Pool(box, size=2) as pool:
            for number in range(3):
                result = pool.run(["sh", "-c", f"cat /in/data; ls /tmp; echo {number} > /tmp/out"])
                print(result.text, result.stderr, result.files["/tmp/out"], [each.path for each in result.changes])
    """
    done = run_in(user, rootfs, program)
    lines = [f"in b'' b'{number}\\n' ['/tmp/out']" for number in range(3)]
    assert (done.stdout.splitlines(), done.stderr) == (lines, ""), done


def test_an_open_sandbox_of_a_user(user, rootfs):
    """Several commands, files, orphans, which are reaped, and a directory that its owner has closed, which is removed."""
    program = """
        with ocirt.Sandbox(rootfs, runtime=runtime, **unlimited).open() as live:
            live.files.write("/tmp/x", "x")
            assert live.run(["sh", "-c", "cat /tmp/x; (sleep 0.01 &); echo y > /tmp/y"]).text == "x"
            live.run(["sh", "-c", "mkdir -p /tmp/closed/folder; touch /tmp/closed/x; chmod 500 /tmp/closed"], check=True)
            live.files.remove("/tmp/closed")
            print(live.run(["sh", "-c", "cat /proc/[0-9]*/status | grep -c ^State:.Z"]).text)
            print(sorted(each.path for each in live.changes))
        print(live.files["/tmp/y"], ocirt.Container.list(runtime=runtime))
    """
    done = run_in(user, rootfs, program)
    assert (done.stdout.split("\n"), done.stderr) == (["0", "", "['/tmp/x', '/tmp/y']", "b'y\\n' []", ""], ""), done
