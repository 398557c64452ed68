"""ocirt.Sandbox: runs, and the files that go in and come out."""

import errno
import os
import shutil
import stat
import tarfile

import pytest

import ocirt as library
from ocirt import DEVNULL, STDOUT, Bind, Copy, FileError, OcirtError, RequestError, Sandbox, TimeoutExpired
from tests.integration.library_fixtures import nothing_left, with_python
from tests.integration.sandboxes import describe

__all__ = ["nothing_left", "with_python"]

pytestmark = [pytest.mark.cgroupfs, pytest.mark.cgroups]


@pytest.fixture
def sandbox(image, runtime):
    def make(**more):
        return describe(Sandbox, image, runtime, **more)

    return make


@pytest.fixture
def repo(tmp_path):
    """A directory of the host, with everything in it open to all, so that the sandbox's user may change it."""
    folder = tmp_path / "repo"
    (folder / "sub").mkdir(parents=True)
    for name, text in (("a.txt", "one\ntwo\n"), ("gone", "x\n"), ("sub/kept", "kept\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o666)
    return folder


def content(folder):
    return {str(path.relative_to(folder)): path.is_file() and path.read_text() for path in folder.rglob("*")}


def test_what_a_run_writes_is_in_its_result_and_nowhere_else(sandbox, image):
    before = sorted(image.rglob("*"))
    box = sandbox(files={"/in/data.csv": b"1,2\n", "/in/text": "é"})
    result = box.run(["sh", "-c", "cat /in/data.csv /in/text; echo picture > /tmp/out.png; id -u"])
    assert (result.returncode, result.text, result.stderr) == (0, "1,2\né65534\n", b"")
    assert result.files["/tmp/out.png"] == b"picture\n" and "/tmp/nothing" not in result.files
    assert [(each.path, each.kind) for each in result.changes] == [("/tmp/out.png", "added")]
    assert box.run(["ls", "/tmp"]).text == ""
    assert sorted(image.rglob("*")) == before
    assert result.seconds < 60 and result.memory_peak > 0 and not result.truncated


def test_a_root_that_is_read_only(sandbox):
    result = sandbox(readonly=True, files={"/in": "x"}).run(
        ["sh", "-c", "echo x > /bin/new; echo x > /in; echo y > /tmp/y; cat /in"]
    )
    assert result.stderr.count(b"Read-only file system") == 2
    assert result.text == "x" and result.files["/tmp/y"] == b"y\n"


def test_the_disk_has_a_size(sandbox):
    result = sandbox(disk="1m").run(["sh", "-c", "head -c 3000000 /dev/zero > /tmp/much; wc -c < /tmp/much"])
    assert result.stderr and 0 < int(result.text) <= 1 << 20
    assert result.why.disk_limit == 1 << 20 and "its disk is full (limit 1048576 bytes)" in str(result.why)
    result = sandbox(disk="1m").run(["sh", "-c", "n=0; while : > /tmp/$n; do n=$((n + 1)); done"])
    assert result.why.disk_limit == 1 << 20
    assert sandbox(disk="1m").run(["true"]).why.disk_limit == 0


def test_a_copy_changes_only_when_the_changes_are_applied(sandbox, repo):
    before = content(repo)
    box = sandbox(files={"/project": Copy(repo)})
    script = "cd /project; echo three >> a.txt; rm gone; mkdir new; echo n > new/n; ln -s n new/link; chmod 777 new/n"
    result = box.run(["sh", "-c", script], check=True)
    assert content(repo) == before
    assert [(each.path, each.kind) for each in result.changes] == [
        ("/project/a.txt", "changed"),
        ("/project/gone", "removed"),
        ("/project/new", "added"),
        ("/project/new/link", "added"),
        ("/project/new/n", "added"),
    ]
    assert result.files["/project/new/n"] == b"n\n"
    assert "--- a/project/a.txt\n+++ b/project/a.txt\n@@ -1,2 +1,3 @@\n one\n two\n+three\n" in result.changes.diff()
    assert len(result.changes.apply()) == 5
    assert content(repo) == {
        "a.txt": "one\ntwo\nthree\n",
        "sub": False,
        "sub/kept": "kept\n",
        "new": False,
        "new/n": "n\n",
        "new/link": "n\n",
    }
    assert stat.S_IMODE((repo / "new/n").stat().st_mode) == 0o777


def test_a_directory_has_not_changed_if_something_in_it_has(sandbox, image, runtime, repo, tmp_path):
    """Its time alone has. An image of a distribution has /tmp as programs expect it, which the library leaves as it is."""
    root = tmp_path / "image"
    shutil.copytree(image, root, symlinks=True)
    (root / "tmp").chmod(0o1777)
    (repo / "sub").chmod(0o777)
    box = describe(Sandbox, root, runtime, files={"/project": Copy(repo)})
    result = box.run(["sh", "-c", "echo x > /tmp/x; echo y > /project/sub/y; rm /project/sub/kept"], check=True)
    assert [(each.path, each.kind) for each in result.changes] == [
        ("/tmp/x", "added"),
        ("/project/sub/kept", "removed"),
        ("/project/sub/y", "added"),
    ]
    (changed,) = box.run(["chmod", "700", "/root"], user=0, check=True).changes
    assert (changed.path, changed.kind) == ("/root", "changed")


def test_changes_are_saved_as_a_layer(sandbox, repo, tmp_path):
    result = sandbox(files={"/project": Copy(repo)}).run(["sh", "-c", "echo t > /tmp/t; rm /project/gone"], check=True)
    result.changes.save(tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert archive.getnames() == ["tmp/t", "project/.wh.gone"]
    with pytest.raises(library.OcirtError, match="bytes"):
        result.changes.save(tmp_path / "small.tar", max_size=100)
    with pytest.raises(library.OcirtError, match="^save .*/nosuch/out.tar: no such file or directory$"):
        result.changes.save(tmp_path / "nosuch/out.tar")
    assert not (tmp_path / "small.tar").exists() and not [name for name in os.listdir(tmp_path) if "small" in name]


def test_binds_are_read_only_unless_said(sandbox, repo, tmp_path):
    writable = tmp_path / "writable"
    writable.mkdir()
    writable.chmod(0o777)
    box = sandbox(files={"/src": Bind(repo), "/out": Bind(writable, writable=True)})
    result = box.run(["sh", "-c", "cat /src/a.txt; echo x > /src/a.txt; echo y > /out/y"])
    assert result.text == "one\ntwo\n" and b"Read-only file system" in result.stderr
    assert (writable / "y").read_text() == "y\n" and (repo / "a.txt").read_text() == "one\ntwo\n"
    assert list(result.changes) == []


NODE = """
const { Worker, isMainThread, parentPort } = require("worker_threads");
if (!isMainThread) {
  parentPort.postMessage(6 * 7);
} else {
  const fs = require("fs"), { execFileSync } = require("child_process"), net = require("net"), zlib = require("zlib");
  fs.writeFileSync("/tmp/out", zlib.gunzipSync(zlib.gzipSync(fs.readFileSync("/in/data"))));
  console.log(execFileSync("sh", ["-c", "echo child"]).toString().trim());
  console.log(require("crypto").createHash("sha256").update("x").digest("hex").slice(0, 8));
  new Worker(__filename).on("message", (answer) => {
    console.log(answer);
    const server = net.createServer((socket) => socket.end("over loopback")).listen(0, "127.0.0.1", () => {
      net.connect(server.address().port, "127.0.0.1").on("data", (data) => {
        console.log(data.toString());
        server.close();
      });
    });
  });
}
"""


@pytest.mark.skipif(not shutil.which("node"), reason="no node on this host")
def test_node_runs_under_its_preset(runtime, with_python):
    """Threads, a child process, files, loopback: under the list of allowed system calls, within the preset's limits."""
    files = {"/in/data": "data", "/in/main.js": NODE}
    box = describe(Sandbox, with_python, runtime, files=files, **Sandbox.presets.node)
    result = box.run([shutil.which("node"), "/in/main.js"])
    assert (result.text, result.stderr) == ("child\n2d711642\n42\nover loopback\n", b""), result
    assert result.files["/tmp/out"] == b"data"


def test_lines_while_the_program_runs(sandbox):
    lines = []
    result = sandbox().run(["sh", "-c", "echo one; echo two >&2; printf three"], on_output=lines.append)
    assert sorted(lines) == ["one", "three", "two"] and result.stdout == b"one\nthree"

    def refuse(line):
        raise ValueError(line)

    with pytest.raises(ValueError, match="one"):
        sandbox().run(["sh", "-c", "echo one; sleep 60"], on_output=refuse)


def test_limits_of_time_and_output(sandbox):
    with pytest.raises(TimeoutExpired):
        sandbox(timeout=0.5).run(["sleep", "60"])
    assert sandbox().run(["yes"], max_output=1000).truncated
    assert sandbox(memory="16m", disk="64m").run(["sh", "-c", "head -c 50000000 /dev/zero > /tmp/x"]).oom


def test_a_call_says_where_and_as_whom_its_program_runs(sandbox):
    """The words of a run replace those of the description, which stays as it is."""
    box = sandbox(env={"A": "a", "B": "b"}, user=1000, files={"/in/data": "x"})
    script = "pwd; echo $A $B; id -u; id -g; stat -c %u /in/data"
    run = box.run(["sh", "-c", script], cwd="/in", env={"B": "c"}, user=(12, 34))
    assert run.text == "/in\na c\n12\n34\n12\n"
    assert box.run(["sh", "-c", script], user="7").text == "/tmp\na b\n7\n7\n7\n"
    assert box.run(["sh", "-c", script]).text == "/tmp\na b\n1000\n1000\n1000\n"


def test_a_run_at_a_terminal(sandbox):
    """The program has a terminal with this size from its beginning, its input is typed, and then the end of the input."""
    script = "stty size; test -t 0 && test -t 1 && test -t 2 && echo all; while read -r a; do echo got $a; done; echo end >&2"
    lines = []
    result = sandbox().run(["sh", "-c", script], input="one\ntwo", terminal=(30, 100), on_output=lines.append)
    assert (result.returncode, result.stderr) == (0, b"")
    # The terminal echoes what has been typed, if the program has not yet begun before all that it prints.
    assert "30 100\nall\n" in result.text and result.text.endswith("end\n")
    assert "got one\n" in result.text and lines == result.text.splitlines()
    assert sandbox().run(["sh", "-c", "stty size; cat"], terminal=True).text == "24 80\n"


def test_where_the_output_goes(sandbox, tmp_path):
    script = ["sh", "-c", "echo out; echo err >&2"]
    box = sandbox()
    assert box.run(script, stderr=STDOUT).stdout == b"out\nerr\n"
    with open(tmp_path / "out", "wb") as file:
        result = box.run(script, stdout=file, stderr=DEVNULL)
    assert (result.stdout, result.stderr, (tmp_path / "out").read_bytes()) == (b"", b"", b"out\n")


@pytest.mark.parametrize(
    "words, told",
    [
        ({"cwd": "tmp"}, "cwd: found 'tmp'"),
        ({"env": {"": "x"}}, "env: found ''"),
        ({"user": "nobody"}, "user: found 'nobody'"),
        ({"terminal": (24, 0)}, r"terminal\[1\]: found 0, expected a number from 1 to 65535"),
        ({"terminal": True, "stdout": 1}, "stdout: found 1, expected nothing but terminal="),
    ],
)
def test_words_of_a_call_that_cannot_be_used(sandbox, words, told, ocirt):
    """Each call that takes them says the same, and makes nothing."""
    with pytest.raises(RequestError, match=told):
        sandbox().run(["true"], **words)
    with sandbox().open() as live:
        with pytest.raises(RequestError, match=told):
            live.run(["true"], **words)
        with pytest.raises(RequestError, match=told):
            live.exec(["true"], **words)
        assert live.run(["pwd"]).text == "/tmp\n"
    assert os.listdir(ocirt.root) == []


def test_a_source_that_has_gone(sandbox, tmp_path):
    """A description checks its sources, and so does the runtime when it mounts them."""
    (tmp_path / "src").mkdir()
    box = sandbox(files={"/src": Bind(tmp_path / "src")})
    (tmp_path / "src").rmdir()
    with pytest.raises(OcirtError, match=r"mounts\[\d+\].*no such file or directory") as found:
        box.run(["true"])
    assert found.value.errno == errno.ENOENT


def test_many_runs_of_one_description(sandbox, ocirt):
    box = sandbox()
    assert {box.run(["echo", str(number)]).text for number in range(3)} == {"0\n", "1\n", "2\n"}
    assert os.listdir(ocirt.root) == []


def test_config_and_plan_say_what_happens(sandbox):
    box = sandbox(memory="32m", user=1000)
    config = box.config(["ls"])
    assert config["process"]["user"]["uid"] == 1000 and config["process"]["args"] == ["ls"]
    assert config["linux"]["resources"]["memory"]["limit"] == 32 << 20
    assert "OpenScratch" in box.plan(["ls"]) and "Lend" in box.plan()


def test_an_image_gives_its_environment_and_layers(image, runtime, tmp_path):
    class Image:
        layers = (str(tmp_path / "top"), str(image))
        config = {"config": {"Env": ["PATH=/bin", "LANG=C"], "WorkingDir": "/work", "Cmd": ["env"]}}

    (tmp_path / "top/work").mkdir(parents=True)
    (tmp_path / "top/work/file").write_text("of the top layer\n")
    box = describe(Sandbox, Image(), runtime, env={"LANG": "D"})
    result = box.run(["sh", "-c", "echo $PATH $LANG; pwd; cat file"])
    assert result.text == "/bin D\n/work\nof the top layer\n"
    assert box.config()["process"]["args"] == ["env"]


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"files": {"in": b""}}, r"files\['in'\]: found 'in', expected an absolute path in the sandbox"),
        ({"files": {"/in": 3}}, r"files\['/in'\]: found 3, expected bytes, text, ocirt.Bind"),
        (
            {"files": {"/in": Copy("/nowhere")}},
            r"files\['/in'\]: found Copy\(source='/nowhere'\), expected a directory of the host that exists; "
            "/nowhere: no such file or directory",
        ),
        ({"files": {"/in": Copy("/etc/passwd")}}, "expected a directory of the host; /etc/passwd is none"),
        (
            {"files": {"/src": Bind("/nowhere", writable=True)}},
            r"files\['/src'\]: found Bind\(source='/nowhere', .*expected a file or directory of the host that exists",
        ),
        ({"files": {"/src": Bind(3)}}, r"files\['/src'\]: found Bind\(source=3, .*expected the path of a file or dir"),
        ({"open_files": -1}, "open_files: found -1, expected a whole number"),
        ({"open_files": "many"}, "open_files: found 'many'"),
        ({"disk": 0}, "disk: found 0, expected 1 byte or more"),
        ({"user": "root"}, "user: found 'root', expected the number of a user"),
        ({"user": (1, 2, 3)}, r"user: found \(1, 2, 3\)"),
        ({"user": -1}, "user: found -1"),
        ({"cwd": "tmp"}, "cwd: found 'tmp', expected an absolute path"),
        ({"env": {"A=B": "c"}}, "env: found 'A=B', expected names of variables"),
        ({"disk": "much"}, "disk: found 'much'"),
        ({"timeout": 0}, "timeout: found 0, expected a number above 0"),
    ],
)
def test_arguments_that_cannot_be_used(sandbox, arguments, told):
    with pytest.raises(RequestError, match=told):
        sandbox(**arguments)


def test_files_that_cannot_be_put_there(sandbox, ocirt):
    with pytest.raises(FileError, match="write /in/much in the sandbox: no space left on device"):
        sandbox(disk="1m", files={"/in/much": b"x" * 3_000_000}).run(["true"])
    assert ocirt.ids() == [] and os.listdir(ocirt.root) == []


def test_files_outlive_the_container_and_can_be_let_go(sandbox):
    result = sandbox().run(["sh", "-c", "echo x > /tmp/x"])
    result.files.write("/tmp/y", b"y")
    for path in ("/tmp/d/", "/", "/tmp/.."):
        with pytest.raises(FileError, match="found the path of a directory, expected that of a file"):
            result.files.write(path, b"y")
    for mode in ("rw", -1, 0o10000):
        with pytest.raises(RequestError, match="mode: found .*, expected permissions, like 0o644"):
            result.files.write("/tmp/y", b"z", mode=mode)
    with pytest.raises(RequestError, match="data: found 5, expected bytes or text"):
        result.files.write("/tmp/y", 5)
    assert result.files.list("/tmp") == ["x", "y"]
    result.files.remove("/tmp/x")
    assert "/tmp/x" not in result.files
    with result.files as files:
        assert files["/tmp/y"] == b"y"
    with pytest.raises(FileError, match="no file system any more"):
        _ = result.files["/tmp/y"]
