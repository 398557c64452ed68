"""Images made from Debian's files: busybox, and catatonit as the first process of pods. One archive is both a
docker-archive and an OCI layout, so every engine loads it.
"""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile

from tests.processor import ENGINES_NAME

BUSYBOX = "localhost/busybox:latest"
PAUSE = "localhost/pause:latest"
TIME = "2026-01-01T00:00:00Z"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/home/guest:/bin/sh\n"
GROUP = "root:x:0:\nguest:x:1000:\nextra:x:1001:guest\n"


def _entry(name, mode, kind=tarfile.REGTYPE, **more):
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type = mode, kind
    for key, value in more.items():
        setattr(entry, key, value)
    return entry


def _layer(folders=(), files=(), links=()):
    """A layer's tar. ``files`` are (name, mode, bytes), ``links`` (name, target)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in folders:
            tar.addfile(_entry(name, 0o1777 if name == "tmp" else 0o755, tarfile.DIRTYPE))
        for name, mode, content in files:
            tar.addfile(_entry(name, mode, size=len(content)), io.BytesIO(content))
        for name, target in links:
            tar.addfile(_entry(name, 0o777, tarfile.SYMTYPE, linkname=target))
    return data.getvalue()


def _read(program):
    with open(shutil.which(program), "rb") as file:
        return file.read()


def busybox_layer():
    names = subprocess.run(["busybox", "--list"], capture_output=True, text=True, timeout=20, check=True).stdout.split()
    return _layer(
        ("bin", "etc", "tmp", "root", "home", "proc", "sys", "dev", "data"),
        [
            ("bin/busybox", 0o755, _read("busybox")),
            ("etc/passwd", 0o644, PASSWD.encode()),
            ("etc/group", 0o644, GROUP.encode()),
        ],
        [(f"bin/{name}", "busybox") for name in names if name != "busybox"],
    )


def _digest(data):
    return hashlib.sha256(data).hexdigest()


def _json(value):
    return json.dumps(value, sort_keys=True).encode()


def archive(path, name, layer, config):
    """Write the archive ``path`` of the image ``name``.

    :param config: the image's config: Cmd, Env and so on.
    """
    layer_digest = _digest(layer)
    image = _json(
        {
            "architecture": ENGINES_NAME,
            "os": "linux",
            "created": TIME,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "history": [{"created": TIME, "created_by": "tests/engines"}],
        }
    )
    media = "application/vnd.oci.image"
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{media}.manifest.v1+json",
            "config": {
                "mediaType": f"{media}.config.v1+json",
                "digest": f"sha256:{_digest(image)}",
                "size": len(image),
            },
            "layers": [{"mediaType": f"{media}.layer.v1.tar", "digest": f"sha256:{layer_digest}", "size": len(layer)}],
        }
    )
    index = _json(
        {
            "schemaVersion": 2,
            "manifests": [
                {
                    "mediaType": f"{media}.manifest.v1+json",
                    "digest": f"sha256:{_digest(manifest)}",
                    "size": len(manifest),
                    "annotations": {
                        "io.containerd.image.name": name,
                        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
                    },
                }
            ],
        }
    )
    blobs = {_digest(blob): blob for blob in (layer, image, manifest)}
    docker = _json(
        [{"Config": f"blobs/sha256/{_digest(image)}", "RepoTags": [name], "Layers": [f"blobs/sha256/{layer_digest}"]}]
    )
    files = [
        ("oci-layout", 0o644, _json({"imageLayoutVersion": "1.0.0"})),
        ("index.json", 0o644, index),
        ("manifest.json", 0o644, docker),
        *((f"blobs/sha256/{digest}", 0o644, blob) for digest, blob in blobs.items()),
    ]
    path.write_bytes(_layer(("blobs", "blobs/sha256"), files))


def make(folder):
    """Write busybox.tar and pause.tar into ``folder``."""
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    archive(folder / "busybox.tar", BUSYBOX, busybox_layer(), {"Cmd": ["sh"], "Env": [path]})
    archive(
        folder / "pause.tar",
        PAUSE,
        _layer(("proc", "sys", "dev", "etc", "tmp"), [("pause", 0o755, _read("catatonit"))]),
        {"Entrypoint": ["/pause", "-P"], "Env": [path]},
    )
