"""Commit and push: what a container has written becomes a layer, on the layers of its image."""

import json
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from ocirt import Container, Image, ImageError, RequestError
from ocirt.cli.flags import VERBS
from tests.images import Layout, directory, entry, layer
from tests.integration.harness import LIMIT, TREE
from tests.integration.registry import docker_registry

NAME = "example.org/tool:1"
TIME = 1_700_000_000


@pytest.fixture
def layout(tmp_path, image):
    """An image of two layers, with busybox."""
    busybox = (image / "bin/busybox").read_bytes()
    names = ("sh", "cat", "ls", "touch", "echo", "mkdir", "mv", "rm", "sleep", "ln", "mknod", "mkfifo", "printf")
    made = Layout(tmp_path / "layout")
    made.image(
        layer(
            directory("bin"),
            entry("bin/busybox", busybox, mode=0o755),
            *[entry(f"bin/{name}", type=tarfile.SYMTYPE, link="busybox") for name in names],
            directory("etc"),
            entry("etc/old", b"old"),
            directory("tmp", 0o1777),
            directory("dir"),
            entry("dir/a", b"a"),
            entry("dir/b", b"b"),
        ),
        layer(directory("etc"), entry("etc/version", b"1\n")),
        name=NAME,
        config={"Env": ["PATH=/bin"], "Cmd": ["cat", "/etc/version"]},
    )
    return made


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def loaded(ocirt, layout, store):
    ocirt.ok("load", "--store", store, layout.path)
    return store


CHANGE = """\
echo 2 > /etc/version; rm /etc/old; rm -r /dir; mkdir /dir; echo new > /dir/c; ln /dir/c /dir/d
printf x > /new; mkdir /made"""


def written(ocirt, store, script=CHANGE, name="c1", image=NAME):
    """A container that has run the script, and is kept."""
    ocirt.ok("run", "--image", image, "--store", store, "--keep", name, "sh", "-c", script)


def commit(ocirt, store, *words, name="c1", image="example.org/tool:2"):
    return ocirt.ok("commit", "--store", store, *words, name, image).out.strip()


def test_a_full_disk(ocirt, layout, tmp_path):
    """An image has its name only when it is whole; the container goes on, and with more room all of it works."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", small], check=True, timeout=LIMIT)
    try:
        ocirt.ok("load", "--store", small / "store", layout.path)
        written(ocirt, small / "store", "cat /bin/busybox /bin/busybox > /new")
        room = os.statvfs(small)
        (small / "fill").write_bytes(b"x" * (room.f_bavail * room.f_bsize - (100 << 10)))
        message = ocirt.fails("commit", "--store", small / "store", "c1", "example.org/tool:2")
        assert "no space left on device" in message
        assert os.listdir(small / "store/temporary") == []
        assert ocirt.ok("images", "--quiet", "--store", small / "store").out == f"{NAME}\n"
        (small / "fill").unlink()
        commit(ocirt, small / "store")
        ocirt.ok("delete", "c1")
        script = "ls -l /new | { read a b c d size more; echo $size; }"
        done = ocirt.ok("run", "--image", "example.org/tool:2", "--store", small / "store", "c2", "sh", "-c", script)
        assert int(done.out) > 1 << 20
    finally:
        subprocess.run(["umount", "--lazy", small], check=True, timeout=LIMIT)


def find(store, runtime, name="example.org/tool:2"):
    return Image.find(name, store=store, runtime=runtime)


def output(ocirt, store, script, image="example.org/tool:2"):
    return ocirt.ok("run", "--image", image, "--store", store, "c9", "sh", "-c", script).out


def test_the_whole_way(ocirt, runtime, loaded, tmp_path):
    """An image, a writable layer on top, a second version of the image, push, pull elsewhere; and the layers that both
    versions have exist once.
    """
    pytest.importorskip("oras")
    written(ocirt, loaded)
    before = set(os.listdir(loaded / "layers"))
    digest = commit(ocirt, loaded, "-c", 'CMD ["ls", "/dir"]', "-m", "second version", "-a", "me")
    one, two = find(loaded, runtime, NAME), find(loaded, runtime)
    assert (two.digest, two.layers[1:]) == (digest, one.layers)
    assert len(set(os.listdir(loaded / "layers")) - before) == 1
    assert ocirt.ok("run", "--image", "example.org/tool:2", "--store", loaded, "c2").out == "c\nd\n"
    assert output(ocirt, loaded, "cat /etc/version") == "2\n"
    assert ocirt.ok("run", "--image", NAME, "--store", loaded, "c3").out == "1\n"  # the first version is as it was
    assert two.config["author"] == "me" and two.config["history"][-1]["comment"] == "second version"
    with docker_registry(tmp_path) as host:
        sent = []
        one.push(f"{host}/tool:1", insecure=True, auth_files=[], progress=sent.append)
        assert {each.digest for each in sent if each.phase == "push"} == {
            *[each["digest"] for each in one.manifest["layers"]],
            one.manifest["config"]["digest"],
        }
        assert (
            ocirt.ok("push", "--store", loaded, "--insecure", "example.org/tool:2", f"{host}/tool:2").out
            == f"{digest}\n"
        )
        sent.clear()
        two.push(f"{host}/tool:3", insecure=True, auth_files=[], progress=sent.append)
        assert {each.phase for each in sent} == {"done"}  # nothing is sent twice
        elsewhere = tmp_path / "elsewhere"
        ocirt.ok("pull", "--store", elsewhere, "--insecure", f"{host}/tool:1")
        few = set(os.listdir(elsewhere / "layers"))
        ocirt.ok("pull", "--store", elsewhere, "--insecure", f"{host}/tool:2")
        assert few < set(os.listdir(elsewhere / "layers")) and len(os.listdir(elsewhere / "layers")) == len(few) + 1
        script = "cat /etc/version /dir/c /dir/d; ls /etc /dir"
        seen = output(ocirt, elsewhere, script, f"{host}/tool:2")
        assert seen == "2\nnew\nnew\n/dir:\nc\nd\n\n/etc:\nversion\n"


def test_a_layer_of_another_repository_is_not_sent(runtime, loaded, tmp_path):
    pytest.importorskip("oras")
    with docker_registry(tmp_path) as host:
        image = find(loaded, runtime, NAME)
        image.push(f"{host}/one:1", insecure=True, auth_files=[])
        Image.pull(f"{host}/one:1", insecure=True, auth_files=[], store=loaded, runtime=runtime)
        sent = []
        image.push(f"{host}/two:1", insecure=True, auth_files=[], progress=sent.append)
        layers = {each["digest"] for each in image.manifest["layers"]}
        assert not layers & {each.digest for each in sent if each.phase == "push"}


def test_a_registry_with_a_password(runtime, loaded, tmp_path):
    pytest.importorskip("oras")
    # The hash is that of "secret".
    (tmp_path / "htpasswd").write_text("me:$2b$04$sC/6OW9zHVDiZGYSb5S6WuWHo.bhCWZjWIt.tcNqHaEqLvwZoNFe6\n")
    with docker_registry(tmp_path, f"auth: {{htpasswd: {{realm: here, path: {tmp_path / 'htpasswd'}}}}}\n") as host:
        image = find(loaded, runtime, NAME)
        more = {"insecure": True, "auth_files": []}
        with pytest.raises(ImageError, match="wants a user name and a password"):
            image.push(f"{host}/tool:1", **more)
        with pytest.raises(ImageError, match="needs other credentials"):
            image.push(f"{host}/tool:1", credentials=("me", "wrong"), **more)
        image.push(f"{host}/tool:1", credentials=("me", "secret"), **more)
        got = Image.pull(
            f"{host}/tool:1", credentials=("me", "secret"), store=tmp_path / "other", runtime=runtime, **more
        )
        assert got.digest == image.digest


def test_one_change_is_one_layer(ocirt, runtime, loaded):
    """Of one container always; of two containers if the times of their files are bounded."""
    written(ocirt, loaded)
    ids = []
    for number in (2, 3):
        commit(ocirt, loaded, image=f"example.org/tool:{number}")
        ids.append(find(loaded, runtime, f"example.org/tool:{number}").manifest["layers"][-1])
    assert ids[0] == ids[1]
    one = commit(ocirt, loaded, "--timestamp", TIME)
    written(ocirt, loaded, name="c2")
    assert commit(ocirt, loaded, "--timestamp", TIME, name="c2") == one
    assert find(loaded, runtime).config["created"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("kind", ["gzip", "zstd", "none"])
def test_every_compression(ocirt, runtime, loaded, kind):
    if kind == "zstd":
        pytest.importorskip("zstandard")
    written(ocirt, loaded)
    commit(ocirt, loaded, "--compression", kind)
    suffix = {"gzip": "+gzip", "zstd": "+zstd", "none": ""}[kind]
    assert find(loaded, runtime).manifest["layers"][-1]["mediaType"].endswith(f"layer.v1.tar{suffix}")
    assert output(ocirt, loaded, "ls /dir") == "c\nd\n"


def test_a_running_container_is_frozen_meanwhile(ocirt, loaded):
    ocirt.ok("run", "--detach", "--image", NAME, "--store", loaded, "c1", "sh", "-c", "echo > /new; sleep 60")
    ocirt.ok("exec", "c1", "sh", "-c", "while [ ! -e /new ]; do sleep 0.1; done")
    commit(ocirt, loaded)
    assert ocirt.status("c1") == "running" and "new" in output(ocirt, loaded, "ls /")
    ocirt.ok("pause", "c1")
    commit(ocirt, loaded, image="example.org/tool:3")
    assert ocirt.status("c1") == "paused"  # as it was
    ocirt.ok("resume", "c1")
    commit(ocirt, loaded, "--no-pause", image="example.org/tool:4")


def test_a_second_commit_has_one_more_layer(ocirt, runtime, loaded):
    written(ocirt, loaded)
    commit(ocirt, loaded)
    written(ocirt, loaded, "echo 3 > /etc/version; rm /dir/c", "c2", "example.org/tool:2")
    commit(ocirt, loaded, name="c2", image="example.org/tool:3")
    assert len(find(loaded, runtime, "example.org/tool:3").layers) == 4
    assert output(ocirt, loaded, "cat /etc/version; ls /dir", "example.org/tool:3") == "3\nd\n"


def test_the_library(ocirt, runtime, loaded):
    written(ocirt, loaded)
    container = Container.load("c1", runtime=runtime)
    image = container.commit(
        "example.org/tool:2", changes=["ENV A=1", "WORKDIR /dir"], store=loaded, message="by the library"
    )
    assert (image.name, image.config["config"]["Env"]) == ("example.org/tool:2", ["PATH=/bin", "A=1"])
    assert [each.kind for each in container.changes() if each.path == "/etc/old"] == ["removed"]
    assert find(loaded, runtime).digest == image.digest
    with pytest.raises(RequestError, match="--change 'RUN x': expected an instruction"):
        container.commit("example.org/tool:3", changes=["RUN x"], store=loaded)
    with pytest.raises(RequestError, match="image: found 'A B'"):
        container.commit("A B", store=loaded)


def test_what_a_layer_cannot_have(ocirt, runtime, loaded):
    written(ocirt, loaded, "touch /.wh.bin")
    message = ocirt.fails("commit", "--store", loaded, "c1", "example.org/tool:2")
    assert "found a name that begins with" in message
    assert os.listdir(loaded / "temporary") == []
    with pytest.raises(ImageError, match="not in the store"):
        find(loaded, runtime)


def test_a_file_without_an_end(ocirt, loaded):
    """A hole of 8 TiB takes no room in the container, and must not fill the host's disk."""
    written(ocirt, loaded, "true")
    upper = loaded / "containers/c1/upper"
    with open(upper / "hole", "wb") as file:
        file.truncate(8 << 40)
    message = ocirt.fails("commit", "--store", loaded, "c1", "example.org/tool:2")
    assert "found a file of 8796093022208 bytes" in message


def test_a_container_of_no_image(ocirt, bundle, loaded):
    ocirt.ok("run", "--keep", "--bundle", bundle.args("true").save(), "c1")
    message = ocirt.fails("commit", "--store", loaded, "c1", "example.org/tool:2")
    assert "found no annotation org.ocirt.image" in message


def test_another_store(ocirt, loaded, tmp_path):
    written(ocirt, loaded)
    assert "not in the store" in ocirt.fails("commit", "--store", tmp_path / "other", "c1", "example.org/tool:2")


def test_wrong_arguments(ocirt, loaded):
    written(ocirt, loaded)
    for words, expected in (
        (("--timestamp", "now"), "expected seconds since the epoch"),
        (("--change", "CMD"), "expected an instruction"),
        (("--max-size", "much"), "max-size"),
    ):
        assert expected in ocirt.fails("commit", "--store", loaded, *words, "c1", "example.org/tool:2")


def test_the_commands_of_the_page(ocirt, loaded, layout, tmp_path):
    """docs/images.md: what each command prints is what the page shows, where it shows something."""
    pytest.importorskip("oras")
    text = (TREE / "docs/images.md").read_text().partition("```console\n")[2].partition("```")[0]
    with_store = {name for name, verb in VERBS.items() if "store" in [flag.name for flag in verb.flags]}
    with docker_registry(tmp_path) as host:
        commands = (
            text.replace("/srv/image.tar", str(layout.path)).replace("localhost:5000", host).split("$ ocirt ")[1:]
        )
        for each in commands:
            line, _, expected = each.partition("\n")
            verb, *words = shlex.split(line)
            out = ocirt.ok(verb, *(["--store", loaded] if verb in with_store else []), *words).out
            assert not expected or out == expected, line
    assert len(commands) == 7


# ---- the others' tools on either end ----


def tool(*words):
    """Run podman, buildah or skopeo."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"needs {words[0]}, which hack/test installs")
    done = subprocess.run([*map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout.strip()


@pytest.fixture
def storage(tmp_path):
    """Flags for podman and buildah: storage of the test's own."""
    with tempfile.TemporaryDirectory() as run:  # podman wants a short path
        yield ["--root", tmp_path / "storage", "--runroot", run, "--storage-driver", "vfs"]


@contextmanager
def pushed(ocirt, store, tmp_path):
    """A registry with tool:2, which ocirt has committed."""
    pytest.importorskip("oras")
    written(ocirt, store)
    commit(ocirt, store, "-c", "LABEL by=ocirt")
    with docker_registry(tmp_path) as host:
        ocirt.ok("push", "--store", store, "--insecure", "example.org/tool:2", f"{host}/tool:2")
        yield host


def files_below(path):
    return sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.parent.name in ("etc", "dir"))


def test_podman_pulls_what_ocirt_has_pushed(ocirt, loaded, tmp_path, storage):
    with pushed(ocirt, loaded, tmp_path) as host:
        tool("podman", *storage, "pull", "--quiet", "--tls-verify=false", f"{host}/tool:2")
        label = tool("podman", *storage, "image", "inspect", "--format", "{{.Labels.by}}", f"{host}/tool:2")
        place = Path(tool("podman", *storage, "image", "mount", f"{host}/tool:2"))
        assert label == "ocirt" and files_below(place) == ["dir/c", "dir/d", "etc/version"]
        assert (place / "etc/version").read_text() == "2\n" and (place / "dir/c").samefile(place / "dir/d")
        tool("podman", *storage, "image", "unmount", f"{host}/tool:2")


def test_skopeo_copies_what_ocirt_has_pushed(ocirt, runtime, loaded, tmp_path):
    with pushed(ocirt, loaded, tmp_path) as host:
        tool("skopeo", "copy", "--src-tls-verify=false", f"docker://{host}/tool:2", f"oci:{tmp_path / 'copy'}:2")
        image = Image.load(tmp_path / "copy", store=tmp_path / "other", name="tool:2", runtime=runtime)
        assert image.digest == find(loaded, runtime).digest
        tool("skopeo", "copy", "--dest-tls-verify=false", f"oci:{tmp_path / 'copy'}:2", f"docker://{host}/again:2")
        ocirt.ok("pull", "--store", tmp_path / "third", "--insecure", f"{host}/again:2")


def test_ocirt_commits_on_what_buildah_has_pushed(ocirt, runtime, loaded, tmp_path, storage):
    """An image that buildah has changed and pushed is the base, and buildah changes ocirt's."""
    with pushed(ocirt, loaded, tmp_path) as host:

        def change(image, name, to):
            (tmp_path / name).write_text(f"of {name}\n")
            made = tool("buildah", *storage, "from", "--pull-always", "--tls-verify=false", image)
            tool("buildah", *storage, "copy", made, tmp_path / name, f"/dir/{name}")
            tool("buildah", *storage, "commit", "--quiet", made, to)
            tool("buildah", *storage, "push", "--quiet", "--tls-verify=false", to)

        change(f"{host}/tool:2", "buildah", f"{host}/built:1")
        ocirt.ok("pull", "--store", loaded, "--insecure", f"{host}/built:1")
        assert output(ocirt, loaded, "cat /dir/buildah", f"{host}/built:1") == "of buildah\n"
        written(ocirt, loaded, "rm /dir/buildah; echo more > /dir/more", "c5", f"{host}/built:1")
        commit(ocirt, loaded, name="c5", image=f"{host}/built:2")
        ocirt.ok("push", "--store", loaded, "--insecure", f"{host}/built:2")
        change(f"{host}/built:2", "again", f"{host}/built:3")
        made = tool("buildah", *storage, "from", "--pull-always", "--tls-verify=false", f"{host}/built:3")
        place = Path(tool("buildah", *storage, "mount", made))
        assert sorted(os.listdir(place / "dir")) == ["again", "c", "d", "more"]
        tool("buildah", *storage, "umount", made)


def test_a_docker_archive_is_a_base(ocirt, loaded, tmp_path, runtime):
    """Its manifest becomes an OCI one, whose layers are the same."""
    tool("skopeo", "copy", f"oci:{tmp_path / 'layout'}:{NAME}", f"docker-archive:{tmp_path / 'old.tar'}:{NAME}")
    store = tmp_path / "other"
    ocirt.ok("load", "--store", store, "--name", NAME, tmp_path / "old.tar")
    written(ocirt, store)
    commit(ocirt, store)
    manifest = find(store, runtime).manifest
    assert {each["mediaType"].partition(".tar")[0] for each in manifest["layers"]} == {
        "application/vnd.oci.image.layer.v1"
    }
    assert json.dumps(dict(manifest)).count("docker") == 0 and output(ocirt, store, "cat /etc/version") == "2\n"
