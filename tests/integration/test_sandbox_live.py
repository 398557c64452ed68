"""Open sandboxes: several commands in one container, snapshots and their forks."""

import io
import os

import pytest

from ocirt import PIPE, STDOUT, Copy, OcirtError, ProgramError, RequestError, Sandbox, StateError, TimeoutExpired
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


def test_orphans_are_reaped(sandbox):
    """Nobody but the container's first process can do this, and zombies would count towards the limit of processes."""
    with sandbox(processes=16).open() as live:
        for _ in range(20):
            live.run(["sh", "-c", "(sleep 0.01 &); (true &)"], check=True)
        live.run(["sleep", "0.3"], check=True)
        assert live.run(["sh", "-c", "cat /proc/[0-9]*/status | grep -c ^State:.Z"]).text == "0\n"


def test_a_terminal_with_a_size_that_changes(sandbox):
    """The program has a terminal of its own container, learns its size before it asks, and each change by SIGWINCH."""
    script = "tty; stty size; trap 'stty size; exit 7' WINCH; echo ready; while :; do sleep 0.05; done"
    with sandbox().open() as live:
        with live.exec(["sh", "-c", script], terminal=(30, 100)) as process:
            lines = process.lines()
            assert [next(lines) for _ in range(3)] == ["/dev/pts/0", "30 100", "ready"]
            process.resize(50, 132)
            assert list(lines) == ["50 132"] and process.wait() == 7
            with pytest.raises(RequestError, match=r"terminal\[1\]: found 0"):
                process.resize(50, 0)


def test_a_command_at_a_terminal(sandbox):
    with sandbox().open() as live:
        result = live.run(["sh", "-c", "stty size; cat"], input="typed", terminal=(30, 100))
        assert "30 100\n" in result.text and result.text.endswith("typed") and not result.stderr
        assert live.run(["sh", "-c", "id -u; id -g"], user="5").text == "5\n5\n"
        assert live.run(["sh", "-c", "id -u; id -g"], user=(5, 6)).text == "5\n6\n"
        assert live.run(["sh", "-c", "echo a; echo b >&2"], stderr=STDOUT).text == "a\nb\n"


def test_a_shell_at_a_terminal(sandbox):
    """What is typed is echoed, Ctrl-C ends the job in the foreground alone, and the end of the output is one."""
    with sandbox().open() as live:
        with live.exec(["sh"], env={"PS1": "> "}, terminal=True) as process:
            process.stdin.write(b"sh -c 'stty size; sleep 60'\n")
            process.stdin.flush()
            seen = b""
            while b"24 80\r\n" not in seen:
                seen += process.stdout.read1(100)
            process.stdin.write(b"\x03")
            process.stdin.flush()
            process.stdin.write(b"echo $?; exit 3\n")
            process.stdin.flush()
            assert b"\r\n130\r\n" in process.stdout.read() and process.wait() == 3
        with live.exec(["sh", "-c", "read a; echo got $a; test -t 2"], terminal=True) as process:
            result = process.communicate("typed\n")
            assert result.stdout == b"typed\r\ngot typed\r\n" and result.returncode == 0
        with pytest.raises(RequestError, match="resize: found no terminal"):
            with live.exec(["true"]) as process:
                process.resize(24, 80)
        with pytest.raises(RequestError, match=r"terminal\[1\]: found 0"):
            live.exec(["true"], terminal=(24, 0))


def test_what_a_killed_process_has_left_of_snapshots(sandbox, tmp_path):
    """The next snapshot in the same place removes it, but none that somebody uses, and no directory of others."""
    left, link = tmp_path / "ocirt-snapshot-left", tmp_path / "ocirt-snapshot-link"
    (left / "0").mkdir(parents=True)
    (left / "0/data").write_text("much")
    link.symlink_to("/etc")
    others = tmp_path / "ocirt-snapshot-others"
    others.mkdir()
    os.chown(others, 65534, 65534)
    with sandbox().open() as live:
        first = live.snapshot(tmp_path)
        assert not left.exists() and link.is_symlink() and others.is_dir()
        with live.snapshot(tmp_path):
            assert first.fork()[0].run(["true"]).returncode == 0
        first.close()
        with pytest.raises(OcirtError, match="the snapshot has been closed"):
            first.fork()
        with pytest.raises(OcirtError, match="^snapshot in /nosuch: no such file or directory$"):
            live.snapshot("/nosuch")
    assert sorted(tmp_path.glob("ocirt-snapshot-*")) == [link, others]


def test_the_root_of_a_sandbox_is_not_exported_without_its_changes(sandbox, ocirt):
    """No path leads to them, so that an archive would lack them without a word."""
    with sandbox().open() as live:
        live.run(["sh", "-c", "echo x > /tmp/x"], check=True)
        archive = io.BytesIO()
        with pytest.raises(StateError, match="found a sandbox, whose changes only the process that made it can read"):
            live.container.export(archive)
        assert archive.getvalue() == b""
        assert "found a sandbox, whose changes" in ocirt("export", live.container.id).err


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
