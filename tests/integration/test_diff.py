"""`ocirt diff` and `ocirt export`: what a container has written, as the kernel's overlay has it."""

import io
import json
import os
import shutil
import stat
import subprocess
import tarfile

import pytest

from tests.integration.harness import LIMIT


@pytest.fixture
def overlay(bundle, tmp_path):
    """A bundle whose root is an overlay of two layers, writable. ``lower`` is the topmost layer."""
    base, lower, upper, work = [tmp_path / name for name in ("base", "lower", "upper", "work")]
    bundle.rootfs.rename(base)
    for folder in (bundle.rootfs, lower, upper, work):
        folder.mkdir()
    base.chmod(0o755), upper.chmod(0o755), lower.chmod(0o755)
    bundle.base, bundle.lower, bundle.upper = base, lower, upper
    for name in ("dir", "dir/sub", "dead", "dead/sub"):
        (lower / name).mkdir()
    for name in ("file", "gone", "dir/a", "dir/sub/b", "dead/sub/c"):
        (lower / name).write_text(f"{name} of the layer\n")
    bundle.config["root"]["readonly"] = False
    capabilities = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD"]
    bundle.config["process"]["capabilities"] = {kind: capabilities for kind in ("bounding", "effective", "permitted")}
    bundle.config["annotations"] = {
        "org.ocirt.rootfs.lower": f"{lower}:{base}",
        "org.ocirt.rootfs.upper": str(upper),
        "org.ocirt.rootfs.work": str(work),
    }
    return bundle


@pytest.fixture
def in_user_namespace(overlay):
    """The same, the container in a user namespace, and its files those of its root."""
    overlay.namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        overlay.config["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    for folder in (overlay.path, *overlay.path.parents):
        folder.chmod(folder.stat().st_mode | 0o11)
    for folder in (overlay.base, overlay.lower, overlay.upper, overlay.upper.with_name("work")):
        subprocess.run(["chown", "-R", "100000:100000", folder], check=True, timeout=LIMIT)
    return overlay


WRITE = """\
set -e
echo new > /new; echo more >> /file; rm /gone
rm -r /dead; mkdir /dead; echo kept > /dead/new
mv /dir/a /dir/moved
chmod 700 /dir/sub
mkdir -p /made/here; ln -s /etc/passwd /made/link
chown 5:6 /new; chmod 4755 /new
"""
CHANGES = {
    "/dead": "changed",
    "/dead/new": "added",
    "/dead/sub": "removed",
    "/dir": "changed",
    "/dir/a": "removed",
    "/dir/moved": "added",
    "/dir/sub": "changed",
    "/file": "changed",
    "/gone": "removed",
    "/made": "added",
    "/made/here": "added",
    "/made/link": "added",
    "/new": "added",
}


def run(ocirt, bundle, script, *flags):
    """Create the container c1 and let it run the script to its end."""
    bundle.shell(script).save()
    result = ocirt.ok("run", "--keep", "--rootfs-annotations", *flags, "--bundle", bundle, "c1")
    assert not result.err, result


def changes(ocirt):
    return {each["path"]: each["kind"] for each in json.loads(ocirt.ok("diff", "--json", "c1").out)}


def export(ocirt, *words):
    done = subprocess.run(
        ocirt.command("export", *words, "c1"), stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    return tarfile.open(fileobj=io.BytesIO(done.stdout)), done.stderr.decode()


@pytest.mark.parametrize("kind", ["overlay", "in_user_namespace"])
def test_what_a_container_writes(ocirt, request, kind):
    """The kernel keeps its marks in other attributes if the overlay is mounted in a user namespace."""
    bundle = request.getfixturevalue(kind)
    run(ocirt, bundle, WRITE)
    assert changes(ocirt) == CHANGES
    archive, _ = export(ocirt)
    found = {entry.name for entry in archive}
    assert {"new", "dir/moved", "dead/new", "bin/busybox"} <= found
    assert not {"gone", "dir/a", "dead/sub", "dead/sub/c"} & found
    entry = archive.getmember("new")
    assert (entry.uid, entry.gid, entry.mode) == (5, 6, 0o4755)
    assert archive.extractfile("file").read() == b"file of the layer\nmore\n"
    assert archive.getmember("bin/busybox").uid == 0


def test_the_lines_of_diff(ocirt, overlay):
    run(ocirt, overlay, 'touch "$(printf "a\\nb\\033[31m")"; rm /gone; echo > /file')
    assert ocirt.ok("diff", "c1").out == "A /a\\x0ab\\x1b[31m\nC /file\nD /gone\n"


def test_nothing_is_printed_for_no_changes(ocirt, overlay):
    run(ocirt, overlay, "cat /file > /dev/null")
    assert ocirt.ok("diff", "c1").out == "" and json.loads(ocirt.ok("diff", "--json", "c1").out) == []


def test_in_every_state(ocirt, overlay):
    overlay.shell("echo > /new; echo ready > /ready; sleep 60").save()
    ocirt.ok("create", "--rootfs-annotations", "--bundle", overlay, "c1")
    assert changes(ocirt) == {}
    ocirt.ok("start", "c1")
    wait = ["sh", "-c", "while [ ! -e /ready ]; do sleep 0.1; done"]
    ocirt.ok("exec", "c1", *wait)
    expected = {"/new": "added", "/ready": "added"}
    assert changes(ocirt) == expected
    ocirt.ok("pause", "c1")
    assert changes(ocirt) == expected and "new" in export(ocirt)[0].getnames()
    ocirt.ok("resume", "c1"), ocirt.ok("kill", "c1", "KILL"), ocirt.wait_status("c1", "stopped")
    assert changes(ocirt) == expected and "new" in export(ocirt)[0].getnames()


def test_mounts_of_the_container_are_not_exported(ocirt, overlay, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "secret").touch()
    overlay.config["mounts"].append(
        {"destination": "/volume", "type": "bind", "source": str(volume), "options": ["rbind"]}
    )
    overlay.shell("sleep 60").save()
    ocirt.ok("run", "--detach", "--rootfs-annotations", "--bundle", overlay, "c1")
    names = export(ocirt)[0].getnames()
    assert {"proc", "volume"} <= set(names) and not [name for name in names if name.startswith(("proc/", "volume/"))]


def test_a_hostile_root(ocirt, overlay, tmp_path):
    """Links that lead out, a fifo, a socket and devices: nothing of the host is read, and nothing is opened."""
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    run(
        ocirt,
        overlay,
        f"""set -e
        ln -s {secret} /out; ln -s / /root-of; rm -r /dir; ln -s / /dir
        mkfifo /fifo; mknod /disk b 8 0; mknod /zero c 1 5; mknod /tape c 9 0
        mkdir -p /a/b; ln -s ../../../../../.. /a/b/up""",
    )
    assert changes(ocirt)["/dir"] == "changed" and "/dir/a" not in changes(ocirt)
    archive, _ = export(ocirt)
    kinds = {entry.name: entry.type for entry in archive}
    assert kinds["out"] == kinds["root-of"] == kinds["dir"] == kinds["a/b/up"] == tarfile.SYMTYPE
    assert (kinds["fifo"], kinds["disk"], kinds["zero"]) == (tarfile.FIFOTYPE, tarfile.BLKTYPE, tarfile.CHRTYPE)
    assert not [name for name in kinds if name.startswith(("root-of/", "dir/", "a/b/up/"))]


def test_a_socket_is_left_out_with_a_warning(ocirt, overlay):
    run(ocirt, overlay, "true")
    os.mknod(overlay.upper / "socket", stat.S_IFSOCK)
    archive, err = export(ocirt)
    assert "/socket: left out" in err and "level=warning" in err and "socket" not in archive.getnames()


def test_a_swapped_directory_leads_nowhere(ocirt, overlay, tmp_path):
    """A program of the container swaps a directory and a link to the host's files, all the time."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "of-the-host").touch()
    overlay.shell(
        f"""mkdir /d; touch /d/inside; ln -s {secret} /l; echo > /ready
        while :; do mv -T /d /x; mv -T /l /d; mv -T /d /l; mv -T /x /d; done"""
    ).save()
    ocirt.ok("run", "--detach", "--rootfs-annotations", "--bundle", overlay, "c1")
    ocirt.ok("exec", "c1", "sh", "-c", "while [ ! -e /ready ]; do sleep 0.1; done")
    for _ in range(5):
        assert "of-the-host" not in ocirt.ok("diff", "c1").out
        assert not [name for name in export(ocirt)[0].getnames() if name.endswith("of-the-host")]


def test_a_plain_root(ocirt, bundle):
    bundle.config["root"]["readonly"] = False
    bundle.shell("echo > /new").save()
    ocirt.ok("run", "--keep", "--bundle", bundle, "c1")
    message = ocirt.fails("diff", "c1")
    assert "found a root without an upper directory, expected one from an image" in message
    assert {"new", "bin/busybox"} <= set(export(ocirt)[0].getnames())


def test_a_read_only_overlay(ocirt, overlay):
    for name in ("upper", "work"):
        del overlay.config["annotations"][f"org.ocirt.rootfs.{name}"]
    run(ocirt, overlay, "true")
    assert "without an upper directory" in ocirt.fails("diff", "c1")
    assert "file" in export(ocirt)[0].getnames()


def test_two_exports_are_the_same(ocirt, overlay):
    run(ocirt, overlay, WRITE)
    one, two = [subprocess.check_output(ocirt.command("export", "c1"), timeout=LIMIT) for _ in range(2)]
    assert one == two


def test_export_to_a_file(ocirt, overlay, tmp_path):
    run(ocirt, overlay, "echo > /new")
    out = tmp_path / "out"
    out.mkdir()
    ocirt.ok("export", "-o", out / "root.tar", "c1")
    listed = subprocess.run(["tar", "-tf", out / "root.tar"], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert "new\n" in listed.stdout and os.listdir(out) == ["root.tar"]
    assert "no such file or directory" in ocirt.fails("export", "-o", out / "missing/root.tar", "c1")


def test_a_failed_export_leaves_no_file(ocirt, overlay, tmp_path):
    run(ocirt, overlay, "echo > /new")
    shutil.rmtree(overlay.lower)
    out = tmp_path / "out"
    out.mkdir()
    assert f"{overlay.lower}: no such file or directory" in ocirt.fails("export", "--output", out / "root.tar", "c1")
    assert os.listdir(out) == []


def test_export_to_a_pipe(ocirt, overlay, tmp_path):
    """A file gets its name when it is complete; a pipe or a device is written as it is."""
    run(ocirt, overlay, "echo > /new")
    os.mkfifo(tmp_path / "pipe")
    with open(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        with subprocess.Popen(
            ocirt.command("export", "-o", tmp_path / "pipe", "c1"), stdin=subprocess.DEVNULL
        ) as process:
            os.set_blocking(reader.fileno(), True)
            while not (data := reader.read(1)):
                pass
            data += reader.read()
        assert process.returncode == 0
    assert "new" in tarfile.open(fileobj=io.BytesIO(data)).getnames()
    assert stat.S_ISFIFO(os.lstat(tmp_path / "pipe").st_mode)


def test_a_container_that_does_not_exist(ocirt):
    for verb in ("diff", "export"):
        assert "container does not exist: c1" in ocirt.fails(verb, "c1")
