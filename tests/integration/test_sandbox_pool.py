"""A pool of ocirt.Sandbox: each slot has files, a root and changes of its own, and is used once."""

import os
import subprocess
import time

import pytest

from ocirt import Copy, FileError, Pool, RequestError, Sandbox, TimeoutExpired
from tests.integration.harness import LIMIT
from tests.integration.library import children
from tests.integration.library_fixtures import nothing_left, service, with_python
from tests.integration.sandboxes import describe

__all__ = ["nothing_left", "service", "with_python"]

pytestmark = [pytest.mark.cgroupfs, pytest.mark.cgroups]


@pytest.fixture
def repo(tmp_path):
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "old").write_text("old\n")
    return folder


def wait_for(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_each_run_has_files_and_changes_of_its_own(image, runtime, repo, ocirt):
    files = {"/in/data": "in", "/project": Copy(repo)}
    box = describe(Sandbox, image, runtime, files=files)
    script = "id -u; cat /in/data; ls /tmp; echo $0 > /tmp/out; rm /project/old; echo $0 > /project/new"
    with Pool(box, size=2) as pool:
        results = [pool.run(["sh", "-c", script, str(number)], check=True) for number in range(5)]
        wait_for(
            lambda: len([id for id in ocirt.ids() if not id.startswith(",")]) == 2
        )  # refilled, without files as yet
    for number, result in enumerate(results):
        assert result.text == "65534\nin"
        assert result.files["/tmp/out"] == b"%d\n" % number
        assert [(each.path, each.kind) for each in result.changes] == [
            ("/tmp/out", "added"),
            ("/project/new", "added"),
            ("/project/old", "removed"),
        ]
    assert os.listdir(repo) == ["old"]
    results[3].changes.apply()
    assert os.listdir(repo) == ["new"] and (repo / "new").read_text() == "3\n"
    assert os.listdir(ocirt.root) == []


@pytest.mark.parametrize("size", [1, 2])
def test_supervisors_are_used_again(image, runtime, repo, ocirt, size):
    """Two supervisors make the containers, one after the other. Nothing of one is in the next: neither what it wrote, nor
    what it mounted or left running, nor is a file changed that the library holds for an earlier result.
    """
    files = {"/in/data": "in", "/project": Copy(repo)}
    leave = """
        cat /in/data /project/old; ls -A /tmp /dev/shm | grep -c left
        for place in /tmp /dev/shm /in /project; do echo $0 > $place/left 2>/dev/null; done
        rm -f /project/old /in/data; echo $0 > /project/old; sleep 60 & echo $$
    """
    with Pool(describe(Sandbox, image, runtime, files=files), size=size) as pool:
        pool.run(["true"])
        supervisors = children()
        results = [pool.run(["sh", "-c", leave, str(number)]) for number in range(8)]
        assert children() == supervisors and len(supervisors) == 2
    assert {result.text for result in results} == {"inold\n0\n1\n"}
    assert [result.files["/tmp/left"] for result in results] == [b"%d\n" % number for number in range(8)]
    assert [result.files["/project/old"] for result in results] == [b"%d\n" % number for number in range(8)]
    assert os.listdir(repo) == ["old"] and os.listdir(ocirt.root) == []


def test_killed_services_leave_no_socket(image, service, runtime, ocirt):
    """The next process that uses the directory removes theirs, and none of a process that lives."""
    program = """
        box = ocirt.Sandbox(image, runtime=runtime)
        with ocirt.Pool(box, size=2) as pool:
            pool.run(["true"], check=True)
            print("runs", flush=True)
            sys.stdin.readline()
            pool.run(["true"], check=True)
    """
    running, sockets = [], []
    for _ in range(2):
        running.append(service(program, stdin=subprocess.PIPE))
        assert running[-1].stdout.readline() == "runs\n"
        sockets.append({name for name in os.listdir(ocirt.root) if name.startswith(",")}.difference(*sockets))
    living, killed = running
    killed.kill()
    killed.wait(LIMIT)
    with Pool(describe(Sandbox, image, runtime), size=1) as pool:
        assert pool.run(["echo", "x"]).text == "x\n"
        left = {*os.listdir(ocirt.root)}
        assert all(sockets) and sockets[0] <= left and not sockets[1] & left
    living.stdin.write("go on\n")
    living.stdin.flush()
    assert living.wait(LIMIT) == 0
    wait_for(lambda: os.listdir(ocirt.root) == [])
    for each in running:
        each.stdout.close()
        each.stdin.close()


def test_limits_are_the_sandboxs(image, runtime):
    box = describe(Sandbox, image, runtime, disk="1m", memory="32m", processes=8, timeout=1)
    with Pool(box, size=1) as pool:
        result = pool.run(["sh", "-c", "head -c 3000000 /dev/zero > /tmp/much; wc -c < /tmp/much"], timeout=LIMIT)
        assert result.stderr and 0 < int(result.text) <= 1 << 20
        many = ["sh", "-c", "for n in $(seq 20); do sleep 1 & done; wait"]
        assert b"can't fork" in pool.run(many, timeout=LIMIT).stderr
        with pytest.raises(TimeoutExpired):
            pool.run(["sleep", "60"])
        assert pool.run(["sh", "-c", "sleep 1.5; echo $HOME; pwd"], timeout=LIMIT).text == "/tmp\n/tmp\n"
        lines = []
        pool.run(["sh", "-c", "echo one; printf two"], on_output=lines.append, timeout=LIMIT)
        assert lines == ["one", "two"]


def test_a_root_that_is_read_only(image, runtime):
    """Files are put there all the same, although the container is ready by then."""
    box = describe(Sandbox, image, runtime, readonly=True, files={"/in/data": "in"})
    with Pool(box, size=1) as pool:
        result = pool.run(["sh", "-c", "cat /in/data; echo x > /in/new; echo y > /tmp/y"])
    assert result.text == "in" and b"Read-only file system" in result.stderr and result.files["/tmp/y"] == b"y\n"


def test_a_file_that_does_not_fit(image, runtime, ocirt):
    box = describe(Sandbox, image, runtime, disk="1m", files={"/in/data": bytes(2 << 20)})
    with pytest.raises(FileError, match="No space left|no space left"):
        with Pool(box, size=2):
            pass
    wait_for(lambda: not ocirt.ids() and os.listdir(ocirt.root) == [])


def test_an_image_and_a_snapshot(image, runtime, tmp_path):
    """The root of a pool may have several layers: those of an image, and a snapshot on top."""

    class Image:
        layers = (str(tmp_path / "top"), str(image))
        config = {"config": {"Env": ["A=a"], "WorkingDir": "/work"}}

    (tmp_path / "top/work").mkdir(parents=True)
    with describe(Sandbox, Image(), runtime).open() as live:
        live.run(["sh", "-c", "echo prepared > /tmp/state"], check=True)
        snapshot = live.snapshot(tmp_path)
    with snapshot, Pool(snapshot.fork()[0], size=2) as pool:
        for _ in range(3):
            result = pool.run(["sh", "-c", "cat /tmp/state; echo $A $PWD; echo used > /tmp/state"])
            assert result.text == "prepared\na /work\n"
            assert [(each.path, each.kind) for each in result.changes] == [("/tmp/state", "changed")]


def test_a_warm_pool(with_python, runtime):
    """What the first program writes is no change of the second one."""
    (with_python / "tmp").chmod(0o1777)  # as in any image
    box = describe(Sandbox, with_python, runtime, files={"/in/data": "in"}, memory="512m")
    warm = ["/usr/bin/python3", "-c", "import json\nopen('/tmp/first', 'w').write('f')"]
    program = "print(json.dumps(open('/in/data').read()), open('/tmp/first').read()); open('/tmp/out', 'w').write('o')"
    with Pool(box, size=2, warm=warm) as pool:
        for _ in range(3):
            result = pool.run(["/usr/bin/python3", "-c", program])
            assert (result.text, result.stderr) == ('"in" f\n', b"")
            assert [each.path for each in result.changes] == ["/tmp/out"]


def test_what_a_sandbox_says_itself_is_refused(image, runtime):
    with pytest.raises(RequestError, match="rootfs"):
        Pool(describe(Sandbox, image, runtime), rootfs=image)
    with pytest.raises(RequestError, match="config: found 3, expected an ocirt.Sandbox, or a dict"):
        Pool(3, rootfs=image)
