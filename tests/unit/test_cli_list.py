"""``ocirt list``, the executable's: runc's columns and JSON, and the same of each container as ocirt/state_dir.py reads."""

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from ocirt import state_dir
from ocirt.boot import run
from ocirt.cli import root
from ocirt.errors import NoContainer, StateError
from ocirt.library.runtime import default_root

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

EXECUTABLE = Path(__file__).resolve().parents[2] / "build/bin/ocirt"
CREATED = 1_700_000_000_250_000_000
OWNER = pwd.getpwuid(os.geteuid()).pw_name
OURS = (os.getpid(), state_dir.start_time_of(os.getpid()))


def journal(phase=2, pid=0, start_time=0, creator=0, creator_start_time=0, version=1, magic=b"ocirtjnl"):
    head = state_dir.JOURNAL.pack(
        magic, version, phase, pid, 0, start_time, *divmod(CREATED, 10**9), creator, 0, creator_start_time
    )
    return head.ljust(4096, b"\0")


def make(directory, id, bundle="/b", phase=2, pid=0, start_time=0, annotations="{}", **more):
    """A state directory as the executable writes it."""
    path = directory / id
    path.mkdir()
    (path / "journal").write_bytes(journal(phase, pid, start_time))
    # Annotations stand as they do in config.json.
    members = {
        "ociVersion": "1.3.0",
        "id": id,
        "bundle": bundle,
        "rootfs": f"{bundle}/rootfs",
        "request": {"verb": "create"},
        **more,
    }
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    (path / "state.json").write_text(text[:-1] + f',"annotations":{annotations},"owner":""}}')
    return path


def ocirt_list(directory, *flags, status=0, **options):
    """Standard output and error of the verb."""
    done = subprocess.run(
        [EXECUTABLE, "--root", directory, "list", *flags],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        **options,
    )
    assert done.returncode == status, done
    return done.stdout, done.stderr


def test_an_empty_list(tmp_path):
    assert ocirt_list(tmp_path) == ("ID          PID         STATUS      BUNDLE      CREATED     OWNER\n", "")
    assert ocirt_list(tmp_path, "--format", "json") == ("null\n", "")
    assert ocirt_list(tmp_path, "-q") == ("", "")


def test_a_root_directory_that_is_not_there(tmp_path):
    """As with runc: an error where it was named; where it is the default one, no container has been made yet."""
    for flags in ((), ("-q",), ("--format", "json")):
        out, err = ocirt_list(tmp_path / "missing", *flags, status=1)
        assert out == "" and err.endswith(f'msg="--root {tmp_path}/missing: no such file or directory"\n')
    with tempfile.TemporaryDirectory() as folder:  # a copy: the tree may lie where only root can go
        os.chmod(folder, 0o755)
        executable = shutil.copy(EXECUTABLE, folder)
        done = subprocess.run(
            [executable, "list", "-q"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            env={"XDG_RUNTIME_DIR": "/nowhere"},
            user=54321 if os.geteuid() == 0 else None,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_table(tmp_path):
    make(tmp_path, "short")
    make(tmp_path, "longer-than-12", "/a/bündle", 3, *OURS)
    pid = f"{os.getpid():<12}"
    assert ocirt_list(tmp_path)[0] == (
        "ID               PID         STATUS      BUNDLE      CREATED                   OWNER\n"
        f"longer-than-12   {pid}running     /a/bündle   2023-11-14T22:13:20.25Z   {OWNER}\n"
        f"short            0           stopped     /b          2023-11-14T22:13:20.25Z   {OWNER}\n"
    )


def test_json(tmp_path):
    make(tmp_path, "a")
    make(tmp_path, "b", '/é"\\\t', 2, *OURS, annotations='{\n "x" : "y \\" z" ,\r\n\t"é": "\\u0000\\ud800" }')
    out = ocirt_list(tmp_path, "-f", "json")[0]
    assert out.count("\n") == 1 and ', "' not in out
    assert json.loads(out) == [
        {
            "ociVersion": "1.3.0",
            "id": "a",
            "pid": 0,
            "status": "stopped",
            "bundle": "/b",
            "rootfs": "/b/rootfs",
            "created": "2023-11-14T22:13:20.25Z",
            "owner": OWNER,
        },
        {
            "ociVersion": "1.3.0",
            "id": "b",
            "pid": os.getpid(),
            "status": "created",
            "bundle": '/é"\\\t',
            "rootfs": '/é"\\\t/rootfs',
            "created": "2023-11-14T22:13:20.25Z",
            "annotations": {"x": 'y " z', "é": "\0\ud800"},
            "owner": OWNER,
        },
    ]


def test_quiet_prints_ids(tmp_path):
    make(tmp_path, "b")
    make(tmp_path, "a")
    (tmp_path / "a file").write_text("")
    (tmp_path / "not an id").mkdir()
    (tmp_path / "link").symlink_to("a")
    assert ocirt_list(tmp_path, "--quiet")[0] == "a\nb\n"


def test_many(tmp_path):
    """More than any of its buffers holds at first."""
    names = sorted(f"container-{'x' * (number % 200)}-{number}" for number in range(700))
    for name in names:
        make(tmp_path, name, f"/bundles/{name}", annotations=json.dumps({"a": "b" * 300}))
    assert ocirt_list(tmp_path, "-q")[0].split() == names
    rows = json.loads(ocirt_list(tmp_path, "-f", "json")[0])
    assert [row["id"] for row in rows] == names and {row["annotations"]["a"] for row in rows} == {"b" * 300}
    lines = ocirt_list(tmp_path)[0].splitlines()
    assert [line.split()[0] for line in lines[1:]] == names and [line.split()[3] for line in lines[1:]] == [
        f"/bundles/{name}" for name in names
    ]


def test_a_large_state(tmp_path):
    make(tmp_path, "c", annotations=json.dumps({"a": "ü" * 300_000}, ensure_ascii=False))
    (row,) = json.loads(ocirt_list(tmp_path, "-f", "json")[0])
    assert row["annotations"] == {"a": "ü" * 300_000}


def test_paused(tmp_path):
    """Where the file of the freezer says 1; only while the container lives."""
    (tmp_path / "freezer").write_text("1\n")
    (tmp_path / "thawed").write_text("0\n")
    containers = tmp_path / "containers"
    containers.mkdir()
    make(containers, "a", phase=3, pid=OURS[0], start_time=OURS[1], pausedFile=f"{tmp_path}/freezer")
    make(containers, "b", phase=3, pid=OURS[0], start_time=OURS[1], pausedFile=f"{tmp_path}/thawed")
    make(containers, "c", phase=3, pid=OURS[0], start_time=OURS[1], pausedFile=f"{tmp_path}/missing")
    make(containers, "d", phase=3, pausedFile=f"{tmp_path}/freezer")
    assert [row["status"] for row in json.loads(ocirt_list(containers, "-f", "json")[0])] == [
        "paused",
        "running",
        "running",
        "stopped",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[]",
        "null",
        '{"ociVersion":"1","bundle":"/b","rootfs":"/r"',
        '{"ociVersion":"1","bundle":"/b","rootfs":"/r"}}',
        '{"ociVersion":"1","bundle":"/b","rootfs":7}',
        '{"ociVersion":"1","bundle":"/b"}',
        '{"ociVersion":"1","bundle":"/b","rootfs":"/r',
        '{"ociVersion":"1","bundle":"/b","rootfs":"/r\\',
        '{"ociVersion":"1","bundle":"/b","rootfs":}',
        '{"ociVersion":"1" "bundle":"/b"}',
        '{"ociVersion":"1","bundle":"/b","rootfs":"/r"} more',
        "\0" * 100,
        '{"bundle":[[[[',
    ],
)
def test_a_broken_directory_is_a_warning(tmp_path, text):
    make(tmp_path, "good")
    (make(tmp_path, "bad") / "state.json").write_text(text)
    (tmp_path / "begun").mkdir()
    out, err = ocirt_list(tmp_path)
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [["begun", "0", "creating"], ["good", "0", "stopped"]]
    assert err.endswith(' level=warning msg="container bad: state.json is broken"\n') and err.count("\n") == 1


def test_a_link_is_not_followed(tmp_path):
    good = make(tmp_path, "good")
    (tmp_path / "elsewhere.json").write_bytes((good / "state.json").read_bytes())
    (good / "state.json").unlink()
    (good / "state.json").symlink_to("../elsewhere.json")
    assert "state.json: too many levels of symbolic links" in ocirt_list(tmp_path)[1]


STATES = st.one_of(
    st.just(None),
    st.just(b""),
    st.just(bytes(4096)),
    st.just(b"x" * 4096),
    st.just(journal()[:100]),
    st.builds(
        journal,
        phase=st.integers(0, 5),
        pid=st.sampled_from([0, OURS[0], -1, 1 << 30]),
        start_time=st.sampled_from([0, OURS[1], 1]),
        creator=st.sampled_from([0, OURS[0]]),
        creator_start_time=st.sampled_from([0, OURS[1]]),
        version=st.integers(0, 2),
    ),
)


@settings(max_examples=150, deadline=None)
@given(STATES, st.booleans())
def test_the_same_as_the_library_reads(data, has_state):
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), "c")
        (path / "journal").unlink()
        if data is not None:
            (path / "journal").write_bytes(data)
        if not has_state:
            (path / "state.json").unlink()
        try:
            expected = [state_dir.read(folder, "c").to_json() | {"owner": OWNER}], ""
        except NoContainer:
            expected = None, ""
        except StateError as error:
            expected = None, f'msg="{error}"\n'
        out, err = ocirt_list(folder, "-f", "json")
        assert (json.loads(out), err[err.find("msg=") :] if err else "") == expected


def test_a_zombie_has_stopped(tmp_path):
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    make(tmp_path, "c", phase=3, pid=child.pid, start_time=state_dir.start_time_of(child.pid))
    assert json.loads(ocirt_list(tmp_path, "-f", "json")[0])[0]["status"] == "stopped"
    child.wait()


def test_errors(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    out, err = ocirt_list(tmp_path / "file", status=1)
    assert out == "" and err.endswith(f'msg="--root {tmp_path}/file: not a directory"\n')
    done = subprocess.run(
        [EXECUTABLE, "--root", tmp_path, "list"],
        stdin=subprocess.DEVNULL,
        stdout=open("/dev/full", "w"),
        text=True,
        stderr=subprocess.PIPE,
        timeout=30,
    )
    assert done.returncode == 1 and done.stderr.endswith('msg="standard output: no space left on device"\n')
    # What the executable does not read is Python's to explain.
    out, err = ocirt_list(tmp_path, "--format", "yaml", status=1)
    assert out == "see ocirt list --help\n" and r'msg="--format: found \"yaml\", expected table or json"' in err
    assert run(["@cli", "9", "-1", "ocirt", "list", "more"]) == 1
    assert r"\"list\" requires exactly 0 argument(s)" in capfd.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")
def test_the_owner(tmp_path):
    user = pwd.getpwall()[-1]
    for name, uid in (("a", 0), ("b", user.pw_uid), ("c", 4_294_967_000), ("d", 4_294_967_000)):
        os.chown(make(tmp_path, name), uid, -1)
    assert [row["owner"] for row in json.loads(ocirt_list(tmp_path, "-f", "json")[0])] == [
        "root",
        user.pw_name,
        *["#4294967000"] * 2,
    ]


@pytest.mark.parametrize(
    "given, uid, runtime, expected",
    [
        ("/r", 1000, "/run/user/1000", "/r"),
        (None, 0, "/run/user/0", "/run/ocirt"),
        (None, 1000, "/run/user/1000", "/run/user/1000/ocirt"),
        (None, 1000, "", "/run/user/1000/ocirt"),
        (None, 1000, None, "/run/user/1000/ocirt"),
    ],
)
def test_the_root_directory(monkeypatch, given, uid, runtime, expected):
    """One rule for the command line and the library; tests/integration/test_rootless.py holds the executable to it."""
    monkeypatch.setattr(root.os, "geteuid", lambda: uid)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if runtime is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert root.root_of(type("Options", (), {"root": given})) == expected
    if given is None and not runtime:
        assert default_root() == expected
