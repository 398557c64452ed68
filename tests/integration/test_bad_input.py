"""Bad input: one clear line that names the JSON path or flag, exit status 1, nothing left behind. And the log's formats."""

import json
import re
import subprocess

import pytest

from tests.integration.harness import left_cgroups


def refused(ocirt, bundle, *words):
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert ocirt.ids() == [] and left_cgroups() == []
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"a":}', '{"ociVersion":"1.3.0"} x', '{"a":1,"a":2}', "\x00", '{"a":"\\ud800"']
)
def test_broken_json(ocirt, bundle, text):
    (bundle.path / "config.json").write_text(text)
    refused(ocirt, bundle, "config.json")


def test_binary_config(ocirt, bundle):
    (bundle.path / "config.json").write_bytes(b"\xff\xfe" * 100)
    refused(ocirt, bundle, "config.json", "UTF-8")


def test_missing_config_and_bundle(ocirt, bundle, tmp_path):
    (bundle.path / "config.json").unlink()
    refused(ocirt, bundle, "config.json", "no such file or directory")
    (bundle.path / "config.json").mkdir()
    refused(ocirt, bundle, "config.json")
    assert "no such file" in ocirt.fails("create", "--bundle", tmp_path / "nowhere", "c1")


@pytest.mark.parametrize(
    "path, value, expected",
    [
        ("ociVersion", "2.0.0", "ociVersion"),
        ("ociVersion", 1, "ociVersion"),
        ("ociVersion", None, "ociVersion"),
        ("root", None, "root"),
        ("root.path", None, "root.path"),
        ("root.path", "nowhere", "root.path"),
        ("root.path", "config.json", "root.path"),
        ("root.readonly", "yes", "root.readonly"),
        ("process.args", "sh", "process.args"),
        ("process.args", [], "process.args"),
        ("process.args", ["a", 1], "process.args[1]"),
        ("process.cwd", None, "process.cwd"),
        ("process.user.uid", -1, "process.user.uid"),
        ("process.user.uid", "0", "process.user.uid"),
        ("process.env", ["A\x00=b"], "process.env[0]"),
        ("hostname", 5, "hostname"),
        ("hostname", "x" * 65, "hostname"),
        ("mounts.0.destination", None, "mounts[0].destination"),
        ("mounts.0.type", "nonsense", "mounts[0]"),
        ("mounts.1.options", ["size=nonsense"], "mounts[1]"),
        ("mounts.0", "x", "mounts[0]"),
        ("linux.namespaces", {}, "linux.namespaces"),
        ("linux.mountLabel", "label", "linux.mountLabel"),
        ("linux.rootfsPropagation", "nonsense", "linux.rootfsPropagation"),
        ("process.apparmorProfile", "profile", "process.apparmorProfile"),
        ("process.terminal", 1, "process.terminal"),
        ("linux.maskedPaths", ["relative"], "linux.maskedPaths[0]"),
        ("linux.sysctl", {"kernel.nonsense": "1"}, "linux.sysctl"),
        ("linux.devices", [{"path": "/dev/x", "type": "z"}], "linux.devices[0]"),
        ("annotations", {"a": 1}, "annotations"),
    ],
)
def test_wrong_values_name_their_path(ocirt, bundle, path, value, expected):
    place = bundle.config
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    bundle.save()
    refused(ocirt, bundle, expected)


def test_unknown_properties_are_ignored(ocirt, bundle):
    """config.md, Extensibility: no error for an unknown property; sections of other platforms too."""
    bundle.config.update(unknown={"a": [1]}, windows={"layerFolders": ["x"]}, solaris={}, vm={"kernel": {"path": "/x"}})
    bundle.config["linux"]["unknown"] = bundle.config["process"]["unknown"] = 1
    bundle.args("true").save()
    ocirt.ok("run", "--bundle", bundle, "c1")


def test_a_full_disk_under_the_root(ocirt, bundle, tmp_path):
    ocirt.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=20", "tmpfs", ocirt.root], check=True, timeout=10)
    try:
        message = ocirt.fails("create", "--bundle", bundle, "c1")
        assert "--root" in message and "no space left on device" in message
        assert ocirt.ids() == []
    finally:
        subprocess.run(["umount", ocirt.root], check=True, timeout=10)


def test_a_root_that_is_no_directory(ocirt, bundle, tmp_path):
    (tmp_path / "state").write_text("")
    assert "--root" in ocirt.fails("create", "--bundle", bundle, "c1")
    (tmp_path / "state").unlink()


def test_a_long_id_under_a_long_root(ocirt, bundle, tmp_path):
    """Nothing runs into the 108 bytes of a socket address."""
    ocirt.root = tmp_path / ("r" * 100) / ("s" * 100)
    name = "i" * 200
    bundle.args("true").save()
    ocirt.ok("create", "--bundle", bundle, name)
    ocirt.ok("start", name)
    ocirt.wait_status(name, "stopped")
    ocirt.ok("delete", name)


def test_log_file_and_formats(ocirt, bundle, tmp_path):
    """--log FILE holds exactly one JSON object on failure and nothing on success; the plain message goes to stderr."""
    log = tmp_path / "log"
    options = ("--log", log, "--log-format", "json")
    ocirt.ok("create", "--bundle", bundle, "c1", options=options)
    assert not log.exists() or log.read_text() == ""
    for words in (
        ("create", "--bundle", bundle, "c1"),
        ("start", "c2"),
        ("delete", "c1"),
        ("run", "--bundle", "/nowhere", "c3"),
    ):
        log.write_text("")
        result = ocirt(*words, options=options)
        entry = json.loads(log.read_text())
        assert result.status == 1 and entry["level"] == "error" and result.err.strip() == entry["msg"], result
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["time"])
    bundle.config["hostname"] = 5
    bundle.save()
    log.write_text("")
    result = ocirt("create", "--bundle", bundle, "c4", options=options)
    assert json.loads(log.read_text())["msg"] == result.err.strip()


def test_errors_of_the_command_line(ocirt):
    for words, status in (
        (("nonsense",), 3),
        (("create", "--nonsense", "a"), 1),
        (("create", "a", "b"), 1),
        (("kill",), 1),
        (("state",), 1),
        ((), 0),
        (("--help",), 0),
        (("create", "--help"), 0),
        (("help", "run"), 0),
    ):
        result = ocirt(*words)
        assert result.status == status, (words, result)
        assert (status == 0) == (result.err == ""), (words, result)


def test_version(ocirt):
    lines = ocirt.ok("--version").out.splitlines()
    assert lines[0].startswith("ocirt version ") and lines[1].startswith("commit: ") and lines[2] == "spec: 1.3.0"


def test_bundle_of_runc_spec(ocirt, bundle):
    (bundle.path / "config.json").unlink()
    subprocess.run(["runc", "spec"], cwd=bundle.path, check=True, timeout=10)
    config = json.loads((bundle.path / "config.json").read_text())
    config["process"].update(terminal=False, args=["echo", "from runc spec"])
    config["linux"]["cgroupsPath"] = bundle.config["linux"]["cgroupsPath"]
    bundle.config = config
    bundle.save()
    assert ocirt.ok("run", "--bundle", bundle, "c1").out == "from runc spec\n"


def test_bundle_of_umoci(ocirt, bundle, tmp_path):
    """A bundle that umoci unpacks from an image made of the busybox rootfs."""
    image = tmp_path / "image"

    def umoci(*words):
        subprocess.run(["umoci", *words], check=True, timeout=60, stdin=subprocess.DEVNULL, capture_output=True)

    umoci("init", "--layout", str(image))
    umoci("new", "--image", f"{image}:latest")
    umoci("insert", "--image", f"{image}:latest", str(bundle.rootfs / "bin"), "/bin")
    umoci(
        "config",
        "--image",
        f"{image}:latest",
        "--config.cmd",
        "echo",
        "--config.cmd",
        "from umoci",
        "--config.env",
        "PATH=/bin",
    )
    umoci("unpack", "--image", f"{image}:latest", str(tmp_path / "unpacked"))
    config = json.loads((tmp_path / "unpacked/config.json").read_text())
    config["process"]["terminal"] = False
    config["linux"]["cgroupsPath"] = bundle.config["linux"]["cgroupsPath"]
    (tmp_path / "unpacked/config.json").write_text(json.dumps(config))
    assert ocirt.ok("run", "--bundle", tmp_path / "unpacked", "c1").out == "from umoci\n"
