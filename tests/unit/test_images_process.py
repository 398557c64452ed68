"""From an image's config to a container's: the tree of the layers, users by name, commands, variables; credentials."""

import base64
import json
import os
import stat

import pytest

from ocirt import Image, ImageError, RequestError
from ocirt.images import credentials, documents, lookup, names
from ocirt.images.process import config_for, user_of
from ocirt.images.volumes import mounts_of


@pytest.fixture
def layers(tmp_path):
    """Directories of layers, which a test fills; the topmost first."""
    made = [tmp_path / "upper", tmp_path / "lower"]
    for each in made:
        (each / "etc").mkdir(parents=True)
    return made


def read(layers, path, limit):
    return lookup.read(list(map(str, layers)), path, limit)


def find(layers, path):
    with lookup.find(list(map(str, layers)), path) as place:
        return place


PASSWD = "root:x:0:0::/root:/bin/sh\nme:x:7:8:Me:/home:/bin/sh\n"
GROUP = "staff:x:9:me,you\nusers:x:8:me\nbroken\n"


@pytest.mark.parametrize(
    "text, uid, gid, more",
    [
        ("me", 7, 8, (9,)),
        ("7", 7, 8, (9,)),
        ("me:staff", 7, 9, ()),
        ("me:5", 7, 5, ()),
        ("1234", 1234, 0, ()),
        ("1234:staff", 1234, 9, ()),
        ("", 0, 0, ()),
        (":staff", 0, 9, ()),
        ("me:", 7, 8, (9,)),
        (":", 0, 0, ()),
    ],
)
def test_users(layers, text, uid, gid, more):
    (layers[1] / "etc/passwd").write_text(PASSWD)
    (layers[0] / "etc/group").write_text(GROUP)
    found = user_of(list(map(str, layers)), text)
    assert (found.uid, found.gid, found.additional_gids) == (uid, gid, more)


def test_a_name_that_is_a_number(layers):
    (layers[1] / "etc/passwd").write_text("7:x:0:0::/:\nme:x:7:8::/:\n")
    found = user_of(list(map(str, layers)), "7")
    assert (found.uid, found.gid) == (7, 8)


@pytest.mark.parametrize("text", ["you", "me:none", "4294967295", "99999999999", "9" * 5000, "me:" + "9" * 5000])
def test_unknown_users(layers, text):
    (layers[1] / "etc/passwd").write_text(PASSWD)
    with pytest.raises(ImageError, match="expected a number|has no"):
        user_of(list(map(str, layers)), text)


def test_a_link_of_the_image_leads_to_a_place_in_the_image(layers, tmp_path):
    """However it is written: absolute, with .., over a directory that is a link itself."""
    (tmp_path / "secret").write_text("me:x:1:1::/:\n")
    (layers[1] / "etc/real").write_text(PASSWD)
    (layers[0] / "etc/passwd").symlink_to("/../../../etc/./real")
    assert read(layers, "/etc/passwd", 1000) == PASSWD.encode()
    (layers[0] / "away").symlink_to(tmp_path)
    assert read(layers, "/away/secret", 1000) is None
    assert find(layers, "etc/../etc/passwd").path == "etc/real"


def test_a_loop_of_links_ends(layers):
    (layers[0] / "a").symlink_to("b")
    (layers[1] / "b").symlink_to("a")
    with pytest.raises(ImageError, match="symbolic links"):
        find(layers, "/a")


def test_a_link_to_a_name_that_no_file_can_have(layers):
    (layers[0] / "etc/passwd").symlink_to("x" * 300)
    assert find(layers, "/etc/passwd") is None


@pytest.mark.parametrize("path", ["/", "/.", "/..", "/etc/..", "/nosuch/../..", "/link"])
def test_a_volume_that_is_the_root(layers, tmp_path, path):
    """Nothing that the container writes would be in a commit."""
    (layers[1] / "link").symlink_to("..")
    with pytest.raises(ImageError, match="config.Volumes: found '.*', which is no directory below the root"):
        mounts_of(list(map(str, layers)), [path], str(tmp_path))


def test_a_file_hides_what_is_below(layers):
    (layers[0] / "etc/x").write_text("upper")
    (layers[1] / "etc/x").mkdir()
    (layers[1] / "etc/x/y").write_text("lower")
    assert read(layers, "etc/x", 10) == b"upper" and find(layers, "etc/x/y") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="before Linux 5.8 only root makes whiteouts")
def test_whiteouts_and_opaque_directories_hide(layers):
    (layers[1] / "etc/x").write_text("lower")
    os.mknod(layers[0] / "etc/x", 0o600 | stat.S_IFCHR, os.makedev(0, 0))
    assert find(layers, "etc/x") is None
    for each in layers:
        (each / "d").mkdir()
    (layers[1] / "d/y").write_text("lower")
    assert find(layers, "d/y").node and len(find(layers, "d").directories) == 2
    os.setxattr(layers[0] / "d", "trusted.overlay.opaque", b"y")
    assert find(layers, "d/y") is None and find(layers, "d").directories == (str(layers[0] / "d"),)


def test_a_device_is_not_read(layers):
    os.mkfifo(layers[0] / "etc/passwd")
    assert read(layers, "etc/passwd", 10) is None


def test_a_long_file_is_refused(layers):
    (layers[0] / "etc/passwd").write_text("x" * 11)
    with pytest.raises(ImageError, match="more than 10 bytes"):
        read(layers, "etc/passwd", 10)


IMAGE = {"config": {"Env": ["A=1", "PATH=/bin"], "Entrypoint": ["sh", "-c"], "Cmd": ["true"], "WorkingDir": "work"}}


def made(image=IMAGE, base=None, args=None, **more):
    return config_for(image, "sha256:" + "0" * 64, ["/nowhere"], base or {}, args, **more)


def test_the_command():
    assert made()["process"]["args"] == ["sh", "-c", "true"]
    assert made(args=["false"])["process"]["args"] == ["sh", "-c", "false"]
    with pytest.raises(RequestError, match="the image has no Cmd"):
        made({"config": {}})


def test_variables_and_directory():
    process = made(base={"process": {"env": ["B=2", "A=0"]}}, env={"B": "3"})["process"]
    assert process["env"] == ["PATH=/bin", "B=3", "A=1"] and process["cwd"] == "/work"
    assert made(cwd="/else")["process"]["cwd"] == "/else"


def test_annotations_of_the_image():
    notes = made({"config": {"Cmd": ["x"], "StopSignal": "SIGINT"}}, {"annotations": {"a": "b"}})["annotations"]
    assert notes == {
        "a": "b",
        "org.ocirt.image": "sha256:" + "0" * 64,
        "org.opencontainers.image.stopSignal": "SIGINT",
    }


def test_the_base_does_not_change():
    base = {"process": {"env": ["B=2"], "user": {"umask": 2}}}
    made(base=base)
    assert base == {"process": {"env": ["B=2"], "user": {"umask": 2}}}


@pytest.mark.parametrize(
    "config, message",
    [
        ([], "config: found"),
        ({"Env": "A=1"}, "config.Env: found"),
        ({"Cmd": ["a\0b"]}, "config.Cmd: found"),
        ({"User": 7}, "config.User: found 7"),
        ({"Volumes": {"x": {}}}, "config.Volumes: found"),
    ],
)
def test_a_broken_config(config, message):
    with pytest.raises(ImageError, match=message):
        made({"config": config or [1]})


def test_an_image_of_a_directory(tmp_path):
    image = Image.from_directory(tmp_path, config={"Cmd": ["sh"]})
    config = image.container_config({})
    assert config["root"] == {"path": str(tmp_path), "readonly": True} and config["process"]["args"] == ["sh"]
    config = image.container_config({}, upper="/u", work="/w", mountpoint="/m")
    assert config["annotations"] == {
        "org.ocirt.rootfs.lower": str(tmp_path),
        "org.ocirt.rootfs.upper": "/u",
        "org.ocirt.rootfs.work": "/w",
    }
    assert config["root"] == {"path": "/m", "readonly": False}
    with pytest.raises(RequestError, match="without work"):
        image.container_config({}, upper="/u")
    with pytest.raises(RequestError, match="expected an existing directory"):
        Image.from_directory(tmp_path / "none")


@pytest.mark.parametrize(
    "text, whole",
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.13-slim", "docker.io/library/python:3.13-slim"),
        ("me/tool", "docker.io/me/tool:latest"),
        ("localhost/tool", "localhost/tool:latest"),
        ("host:5000/a/b_c:V1", "host:5000/a/b_c:V1"),
        ("index.docker.io/library/x", "docker.io/library/x:latest"),
        ("x@sha256:" + "a" * 64, "docker.io/library/x@sha256:" + "a" * 64),
        ("x:1@sha256:" + "a" * 64, "docker.io/library/x:1@sha256:" + "a" * 64),
    ],
)
def test_names(text, whole):
    assert str(names.parse(text)) == whole


@pytest.mark.parametrize(
    "text", ["", "UPPER", "a b", "x:", "x@sha256:1", "../x", "a//b", "x:-1", "http://x/y", "x" * 300]
)
def test_what_is_no_name(text):
    with pytest.raises(RequestError, match="expected"):
        names.parse(text)


@pytest.mark.parametrize("text", ["linux", "linux//", "a/b/c/d", "linux/"])
def test_what_is_no_platform(text):
    with pytest.raises(RequestError, match="expected OS/ARCHITECTURE"):
        names.platform_of(text)


def entry_for(machine, variant=None):
    platform = {"os": "linux", "architecture": machine} | ({"variant": variant} if variant else {})
    kind = documents.OCI_MANIFEST
    return documents.Descriptor(kind, f"sha256:{machine}{variant}", 1, platform=platform)


def test_the_variant_of_a_platform():
    entries = [entry_for("arm", "v6"), entry_for("arm", "v7"), entry_for("amd64")]
    assert documents.choose(entries, "linux/arm/v7", "x").digest == "sha256:armv7"
    assert documents.choose(entries, "linux/amd64", "x").digest == "sha256:amd64None"


def auth(user, password):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    "image, user",
    [
        ("host:5000/team/tool", "team"),
        ("host:5000/other", "host"),
        ("python", "hub"),
        ("elsewhere.org/x", None),
    ],
)
def test_credentials_of_the_most_exact_name(tmp_path, image, user):
    file = tmp_path / "config.json"
    file.write_text(
        json.dumps(
            {
                "auths": {
                    "host:5000": auth("host", "1"),
                    "host:5000/team": auth("team", "2"),
                    "https://index.docker.io/v1/": auth("hub", "3"),
                }
            }
        )
    )
    found = credentials.find(names.parse(image), [tmp_path / "missing", file])
    assert (found and found[0]) == user


@pytest.mark.parametrize("content", ["{", '{"auths": {"h.org": {"auth": "%"}}}', '{"credHelpers": {"h.org": "../x"}}'])
def test_broken_credentials(tmp_path, content):
    file = tmp_path / "auth.json"
    file.write_text(content)
    with pytest.raises(ImageError, match="credentials: "):
        credentials.find(names.parse("h.org/x"), [file])


def test_a_credential_helper(tmp_path, monkeypatch):
    helper = tmp_path / "docker-credential-test"
    helper.write_text('#!/bin/sh\nread host; echo "{\\"Username\\": \\"$host\\", \\"Secret\\": \\"s\\"}"\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    file = tmp_path / "config.json"
    file.write_text('{"credHelpers": {"h.org": "test"}}')
    assert credentials.find(names.parse("h.org/x"), [file]) == ("h.org", "s")


def test_places_of_credentials():
    given = {"HOME": "/h", "XDG_RUNTIME_DIR": "/r", "DOCKER_CONFIG": "/d"}
    assert credentials.default_files(given) == [
        "/r/containers/auth.json",
        "/h/.config/containers/auth.json",
        "/d/config.json",
    ]
    assert credentials.default_files({"REGISTRY_AUTH_FILE": "/f"}) == ["/f"]
