"""Open sandboxes: several commands in one container, snapshots and their forks."""

import os

import pytest

from ocirt import PIPE, Copy, ProgramError, Sandbox, TimeoutExpired
from tests.integration.library_fixtures import nothing_left
from tests.integration.sandboxes import describe

__all__ = ["nothing_left"]

pytestmark = [pytest.mark.cgroupfs, pytest.mark.cgroups]


@pytest.fixture
def sandbox(image, runtime):
    def make(**more):
        return describe(Sandbox, image, runtime, **more)

    return make


def test_several_commands_in_one_container(sandbox, ocirt):
    with sandbox(files={"/in/data": "x"}).open() as live:
        live.files.write("/tmp/x", b"hello")
        assert live.run(["cat", "/tmp/x"]).text == "hello"
        assert live.run(["sh", "-c", "cat > /tmp/y; id -u; id -g"], input="in").text == "65534\n65534\n"
        assert live.files["/tmp/y"] == b"in"
        assert live.run(["sh", "-c", "id -u; id -g"], user=0).text == "0\n0\n"
        with live.exec(["sh", "-c", "echo one; echo two >&2; printf three"]) as process:
            assert list(process.lines()) == ["one", "two", "three"]
        with live.exec(["cat"], stdin=PIPE) as process:
            process.stdin.write(b"line\n")
            process.stdin.flush()
            assert next(process.lines()) == "line"
        with pytest.raises(TimeoutExpired):
            live.run(["sleep", "60"], timeout=0.3)
        with pytest.raises(ProgramError):
            live.run(["nosuch"])
        assert [each.path for each in live.changes] == ["/tmp/x", "/tmp/y"]
    assert ocirt.ids() == [] and os.listdir(ocirt.root) == []
    assert live.files["/tmp/y"] == b"in"


def test_all_commands_see_the_containers_root_alone(sandbox):
    """The place for the changes lies over the old root while init mounts, and both must be gone."""
    with sandbox().open() as live:
        for result in (
            live.run(["stat", "-c", "%d:%i", "/", "/..", "/../.."]),
            sandbox().run(["stat", "-c", "%d:%i", "/", "/.."]),
        ):
            assert len(set(result.text.split())) == 1, result.text
        roots = [line for line in live.run(["cat", "/proc/self/mountinfo"]).text.splitlines() if line.split()[4] == "/"]
        assert len(roots) == 1 and " - overlay " in roots[0]


def test_forks_of_a_snapshot(sandbox, tmp_path):
    """A test runner prepares one container, and runs twenty tests on what it has prepared."""
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "old").write_text("old\n")
    with sandbox(files={"/project": Copy(repo), "/in/data": "data"}).open() as live:
        live.run(
            [
                "sh",
                "-c",
                "echo prepared > /tmp/prepared; echo p > /project/p; rm /project/old; mkfifo /tmp/fifo; ln -s x /tmp/link",
            ]
        )
        live.run(["sh", "-c", "rm -r /root; truncate -s 1T /tmp/sparse 2>/dev/null || true"], user=0)
        snapshot = live.snapshot(tmp_path)
        live.run(["sh", "-c", "echo later > /tmp/prepared"])
        assert live.files["/tmp/prepared"] == b"later\n"
    with snapshot:
        forks = snapshot.fork(20)
        results = [
            fork.run(["sh", "-c", f"cat /tmp/prepared /in/data; echo {number} >> /tmp/prepared"])
            for number, fork in enumerate(forks)
        ]
        assert [result.text for result in results] == ["prepared\ndata"] * 20
        assert [result.files["/tmp/prepared"] for result in results] == [
            b"prepared\n%d\n" % number for number in range(20)
        ]
        assert [(each.path, each.kind) for each in results[3].changes] == [("/tmp/prepared", "changed")]
        (fork,) = snapshot.fork()
        shown = fork.run(
            ["sh", "-c", "ls -d /root /project/old /project/p; readlink /tmp/link; test -p /tmp/fifo && echo fifo"]
        )
        assert shown.text == "/project/p\nx\nfifo\n"
        with fork.open() as live:
            again = live.snapshot(tmp_path)
    assert (repo / "old").read_text() == "old\n"
    again.close()
    assert os.listdir(tmp_path / "state") == [] and not [each for each in os.listdir(tmp_path) if "snapshot" in each]
