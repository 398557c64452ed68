"""Pulling images from registries: Debian's, and one that misbehaves. All on loopback."""

import asyncio
import base64
import gc
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from ocirt import Image, ImageError, NoImage
from ocirt.images import aio as images
from ocirt.images import registry as client
from ocirt.images.store import Store
from tests.images import Layout, digest, directory, entry, layer
from tests.integration.harness import LIMIT, TREE
from tests.integration.registry import docker_registry, fake_registry, push

pytest.importorskip("oras")

NOISE = random.Random(0).randbytes(300_000)
"""Does not become smaller."""
TWO = layer(directory("bin"), entry("bin/a", NOISE)), layer(entry("bin/b", b"b"))


@pytest.fixture
def layout(tmp_path):
    made = Layout(tmp_path / "layout")
    made.image(*TWO)
    return made


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def pull(store, runtime):
    def pull(name, **more):
        return Image.pull(name, **{"store": store, "runtime": runtime, "insecure": True, "auth_files": [], **more})

    return pull


@pytest.fixture
def fake(layout):
    with fake_registry(layout) as server:
        yield server


def left(store):
    """What counts in the store, and what was being written."""
    return [name for folder in ("layers", "temporary") for name in os.listdir(store / folder)]


def files(image):
    return sorted(name for path in image.layers for name in os.listdir(f"{path}/bin"))


def test_an_image_of_debians_registry(tmp_path, layout, pull):
    with docker_registry(tmp_path) as host:
        push(layout, host, "team/tool", "1")
        image = pull(f"{host}/team/tool:1")
        assert (image.name, image.digest, files(image)) == (
            f"{host}/team/tool:1",
            layout.manifests[0]["digest"],
            ["a", "b"],
        )
        assert pull(f"{host}/team/tool@{image.digest}").digest == image.digest
        with pytest.raises(NoImage, match="team/tool:2: not found: manifest unknown"):
            pull(f"{host}/team/tool:2")


def test_a_registry_with_a_password(tmp_path, layout, pull):
    """docker's and containers' files: the password of the repository comes before that of the host."""
    # The hash is that of "secret".
    (tmp_path / "htpasswd").write_text("me:$2b$04$sC/6OW9zHVDiZGYSb5S6WuWHo.bhCWZjWIt.tcNqHaEqLvwZoNFe6\n")
    auth = f"auth: {{htpasswd: {{realm: here, path: {tmp_path / 'htpasswd'}}}}}\n"
    right = base64.b64encode(b"me:secret").decode()
    with docker_registry(tmp_path, auth) as host:
        push(layout, host, "team/tool", "1", f"Basic {right}")
        with pytest.raises(ImageError, match="wants a user name and a password"):
            pull(f"{host}/team/tool:1")
        with pytest.raises(NoImage, match="needs other credentials"):
            pull(f"{host}/team/tool:1", credentials=("me", "wrong"))
        assert files(pull(f"{host}/team/tool:1", credentials=("me", "secret"))) == ["a", "b"]
        wrong = base64.b64encode(b"me:wrong").decode()
        file = tmp_path / "auth.json"
        file.write_text(json.dumps({"auths": {host: {"auth": wrong}, f"{host}/team": {"auth": right}}}))
        assert files(pull(f"{host}/team/tool:1", auth_files=[tmp_path / "missing", file])) == ["a", "b"]


def test_a_registry_that_gives_tokens(fake, pull):
    fake.token, fake.password = "t0ken", "me:secret"
    assert files(pull(f"{fake.host}/tool", credentials=("me", "secret"))) == ["a", "b"]
    with pytest.raises(NoImage, match="credentials"):
        pull(f"{fake.host}/other", credentials=("me", "wrong"))


def test_blobs_from_another_host(fake, layout, pull):
    """It gets no credentials of the registry that names it."""
    fake.token, fake.password = "t0ken", "me:secret"
    with fake_registry(layout) as other:
        fake.elsewhere = other.host.replace("127.0.0.1", "localhost")
        assert files(pull(f"{fake.host}/tool", credentials=("me", "secret"))) == ["a", "b"]
        assert len(other.requests) == 3 and other.secrets == [None] * 3


def test_the_platform_is_chosen(tmp_path, pull):
    layout = Layout(tmp_path / "layout")
    entries = []
    for machine in ("amd64", "arm64"):
        platform = {"os": "linux", "architecture": machine}
        entries.append(layout.manifest([layer(entry(machine))], platform=platform) | {"platform": platform})
    layout.add(layout.index(*entries))
    with fake_registry(layout) as server:
        assert os.listdir(pull(f"{server.host}/x", platform="linux/arm64").layers[0]) == ["arm64"]
        with pytest.raises(ImageError, match="found images for linux/amd64, linux/arm64, expected one for linux/s390x"):
            pull(f"{server.host}/x", platform="linux/s390x")


def test_a_mirror_comes_first(fake, layout, pull):
    """It serves the same repository; the name remains the image's own."""
    image = pull("example.invalid/team/tool:1", mirrors=["127.0.0.1:1", fake.host])
    assert image.name == "example.invalid/team/tool:1" and files(image) == ["a", "b"]
    assert any(path.startswith("/v2/team/tool/manifests/1") for path in fake.requests)


def test_no_connection_stays_open(fake, pull):
    """Not even until Python's garbage collector finds the client."""
    pull(f"{fake.host}/tool")
    gc.collect()
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        image = pull(f"{fake.host}/tool")  # which holds one
        with pytest.raises(ImageError, match="HTTP 501"):
            image.push(f"{fake.host}/other", insecure=True, auth_files=[])
        with pytest.raises(NoImage):
            pull(f"{fake.host}/tool:missing")
        end = time.monotonic() + 5
        while len(os.listdir("/proc/self/fd")) > before + 1:  # the registry of this test closes its ends, too
            assert time.monotonic() < end, os.listdir("/proc/self/fd")
            time.sleep(0.05)
    finally:
        gc.enable()


def test_a_broken_connection_goes_on(fake, pull):
    """The rest is asked for, not the whole again."""
    fake.breaks, fake.after = 2, 100_000
    seen = []
    assert files(pull(f"{fake.host}/tool", progress=seen.append)) == ["a", "b"]
    assert fake.breaks == 0
    assert max(each.count for each in seen if each.phase == "pull") == max(each.size for each in seen)


def test_a_connection_that_breaks_often_is_slow_and_no_error(fake, pull, monkeypatch):
    """Each time something has arrived. If nothing has, the error says how much had."""
    monkeypatch.setattr(client, "ATTEMPTS", 2)
    fake.breaks, fake.after = 4, 70_000
    assert files(pull(f"{fake.host}/tool:1")) == ["a", "b"]
    assert fake.breaks == 0


def test_a_connection_that_brings_nothing_is_given_up(fake, pull, monkeypatch):
    monkeypatch.setattr(client, "ATTEMPTS", 2)
    fake.breaks, fake.after = 1000, 100
    with pytest.raises(ImageError, match="IncompleteRead"):
        pull(f"{fake.host}/tool")
    assert 1000 - fake.breaks == client.ATTEMPTS


def test_a_registry_that_stops_in_the_middle(fake, pull, store):
    """Nothing counts, and the next pull fetches only what is missing."""
    fake.breaks, fake.ranges = 1000, False
    with pytest.raises(ImageError, match="does not send a part"):
        pull(f"{fake.host}/tool")
    assert "temporary" in os.listdir(store) and os.listdir(store / "temporary") == []
    assert digest(NOISE) not in os.listdir(store / "layers")
    fake.breaks, fake.requests[:] = 0, []
    assert files(pull(f"{fake.host}/tool")) == ["a", "b"]


def test_a_registry_that_hangs(fake, pull, store, monkeypatch):
    monkeypatch.setattr(client, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    fake.breaks, fake.hangs = 1000, True
    with pytest.raises(ImageError, match="[Rr]ead timed out"):
        pull(f"{fake.host}/tool")
    assert os.listdir(store / "temporary") == []


def test_a_registry_that_is_busy(fake, pull):
    """It is asked some times, and not waited for if it says a day."""
    fake.busy = {"Retry_After": "1"}
    with pytest.raises(ImageError, match="HTTP 429: too many requests; it may be asked again in 1 seconds"):
        pull(f"{fake.host}/tool")
    assert len(fake.requests) == 1 + client.ATTEMPTS
    fake.busy, fake.requests[:] = {"Retry_After": "86400"}, []
    with pytest.raises(ImageError, match="HTTP 429: too many requests; it may be asked again in 86400 seconds"):
        pull(f"{fake.host}/tool")
    assert len(fake.requests) == 2


@pytest.mark.parametrize("credentials", (None, ("me", "secret")))
def test_a_server_of_tokens_that_is_busy(fake, pull, credentials):
    """It is no matter of credentials, and the server is waited for as the registry itself."""
    fake.token, fake.password, fake.busy_tokens = "t0ken", "me:secret", {"Retry_After": "1"}
    told = f"tool.*: http://{fake.host}/token, which it names for tokens, answers HTTP 429: too many tokens; it may be asked"
    with pytest.raises(ImageError, match=f"{told} again in 1 seconds") as caught:
        pull(f"{fake.host}/tool", credentials=credentials)
    assert not isinstance(caught.value, NoImage) and "credentials" not in str(caught.value)
    asked = len([path for path in fake.requests if path.startswith("/token")])
    assert asked % client.ATTEMPTS == 0 and asked > 0
    fake.busy_tokens, fake.requests[:] = {"Retry_After": "86400"}, []
    with pytest.raises(ImageError, match=f"{told} again in 86400 seconds"):
        pull(f"{fake.host}/tool", credentials=credentials)
    assert len([path for path in fake.requests if path.startswith("/token")]) * client.ATTEMPTS == asked


def test_a_layer_larger_than_the_limit_is_not_fetched(fake, pull):
    with pytest.raises(ImageError, match="its descriptor says 300[0-9]+ bytes, more than 1024, the limit"):
        pull(f"{fake.host}/tool", max_size="1k")
    assert len([path for path in fake.requests if "/blobs/" in path]) < 3


def test_a_registry_whose_tokens_are_none(fake, pull, capfd):
    """The client's own words about it are not printed."""
    fake.token, fake.password = "t0ken", "me:secret"
    with pytest.raises(NoImage, match="does not exist, or needs credentials"):
        pull(f"{fake.host}/tool")
    assert capfd.readouterr() == ("", "")


def test_a_registry_that_lies(fake, layout, pull, store):
    """Content that is not what its digest says."""
    manifest = json.loads((layout.path / "blobs/sha256" / layout.manifests[0]["digest"][7:]).read_text())
    for each in manifest["layers"]:
        path = layout.path / "blobs/sha256" / each["digest"][7:]
        path.write_bytes(b"x" * each["size"])
    with pytest.raises(ImageError, match="found content with the digest"):
        pull(f"{fake.host}/tool")
    assert left(store) == []


def test_nobody_listens(pull):
    with pytest.raises(ImageError, match="127.0.0.1:1: .*[Cc]onnection refused"):
        pull("127.0.0.1:1/tool")


def test_http_needs_insecure(fake, pull):
    with pytest.raises(
        ImageError, match="(?i)(ssl|wrong version).*; insecure=True .pull --insecure, push --insecure. accepts"
    ):
        pull(f"{fake.host}/tool", insecure=False)
    assert fake.connections == 1  # what speaks no TLS does not begin to


def test_an_exception_of_progress_ends_the_pull(fake, pull, store):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(f"{fake.host}/tool", progress=stop)
    assert left(store) == []


def test_a_cancelled_task(fake, store, runtime):
    """With asyncio: the pull stops at the next part, and leaves nothing."""
    fake.slow = 0.2
    began = threading.Event()

    async def main():
        options = {"store": store, "runtime": runtime, "insecure": True, "auth_files": []}
        task = asyncio.create_task(images.pull(f"{fake.host}/tool", progress=lambda _: began.set(), **options))
        while not began.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left(store) == []
        assert files(await images.pull(f"{fake.host}/tool", **options)) == ["a", "b"]
        assert files(await images.find(f"{fake.host}/tool", store=store, runtime=runtime)) == ["a", "b"]

    asyncio.run(main())


PULL = """
import sys
sys.path.insert(0, {tree!r})
import ocirt
runtime = ocirt.Runtime(root={root!r}, environment={environment!r})
image = ocirt.Image.pull({name!r}, store={store!r}, runtime=runtime, insecure=True, auth_files=[])
print(*image.layers)
"""


@pytest.fixture
def process(tmp_path, store, runtime):
    """Starts a process of its own that pulls an image."""

    def start(name):
        program = PULL.format(
            tree=str(TREE), root=str(runtime.root), environment=dict(runtime.environment), name=name, store=str(store)
        )
        return subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    return start


def test_twenty_processes_pull_one_image(fake, process):
    """Each blob is fetched once, and all see the same layers."""
    processes = [process(f"{fake.host}/tool:1") for _ in range(20)]
    ends = [each.communicate(timeout=4 * LIMIT) for each in processes]
    assert [each.returncode for each in processes] == [0] * 20, ends
    assert len({out for out, _ in ends}) == 1
    blobs = [path for path in fake.requests if "/blobs/" in path]
    assert len(blobs) == len(set(blobs)) == 3


def test_a_pull_that_is_killed(fake, process, pull, store, layout):
    """Nothing of it counts; the next one removes what is left, and completes the image."""
    fake.breaks, fake.hangs, fake.after = 1000, True, 100_000
    killed = process(f"{fake.host}/tool:1")
    end = time.monotonic() + LIMIT
    while not (store / "temporary").is_dir() or not any(
        path.stat().st_size >= 65536 for path in (store / "temporary").iterdir() if path.is_file()
    ):
        assert time.monotonic() < end and killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=LIMIT)
    assert os.listdir(store / "temporary") != []
    fake.breaks = 0
    fake.go_on.set()
    assert files(pull(f"{fake.host}/tool:1")) == ["a", "b"]
    # A container that unpacked a layer may have ended only after that.
    end = time.monotonic() + LIMIT
    while os.listdir(store / "temporary"):
        assert time.monotonic() < end
        with Store(store).adding():
            pass
