"""Layouts, archives and layers for the tests of images, in memory and by Python alone."""

import gzip
import hashlib
import io
import json
import tarfile

from tests.processor import ENGINES_NAME

OCI = "application/vnd.oci.image"
NAME = "org.opencontainers.image.ref.name"
PLATFORM = {"os": "linux", "architecture": ENGINES_NAME}


def entry(
    name, data=b"", *, type=tarfile.REGTYPE, mode=0o644, link="", uid=0, gid=0, mtime=1_000_000, pax=None, device=(0, 0)
):
    """An entry of an archive, and its content."""
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.linkname, made.uid, made.gid, made.mtime = type, mode, link, uid, gid, mtime
    made.size, made.pax_headers = len(data), dict(pax or {})
    made.devmajor, made.devminor = device
    return made, data


def directory(name, mode=0o755, **members):
    return entry(name, type=tarfile.DIRTYPE, mode=mode, **members)


def layer(*entries):
    """The bytes of a layer's uncompressed archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for made, data in entries:
            archive.addfile(made, io.BytesIO(data))
    return file.getvalue()


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def zipped(data):
    """Compressed always to the same bytes."""
    return gzip.compress(data, mtime=0)


class Layout:
    """An OCI image layout in a directory."""

    def __init__(self, path):
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.manifests = []

    def blob(self, data, media_type):
        found = digest(data)
        (self.path / "blobs/sha256" / found.partition(":")[2]).write_bytes(data)
        return {"mediaType": media_type, "digest": found, "size": len(data)}

    def document(self, value, media_type):
        return self.blob(json.dumps(value).encode(), media_type)

    def manifest(self, layers, config=None, compress=zipped, suffix="+gzip", diff_ids=None, platform=None):
        """The descriptor of a new manifest. ``layers`` are uncompressed archives, the lowest first."""
        whole = {
            **(platform or PLATFORM),
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(each) for each in layers]},
        }
        return self.document(
            {
                "schemaVersion": 2,
                "mediaType": f"{OCI}.manifest.v1+json",
                "config": self.document(whole, f"{OCI}.config.v1+json"),
                "layers": [self.blob(compress(each), f"{OCI}.layer.v1.tar{suffix}") for each in layers],
            },
            f"{OCI}.manifest.v1+json",
        )

    def index(self, *manifests):
        """The descriptor of a new index."""
        return self.document(
            {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": manifests}, f"{OCI}.index.v1+json"
        )

    def add(self, descriptor, name=None):
        """Let index.json name a manifest or an index."""
        self.manifests.append(descriptor | ({"annotations": {NAME: name}} if name else {}))
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.manifests}))

    def image(self, *layers, name="example.org/test:1", **options):
        """An image, and the path of the layout."""
        self.add(self.manifest(layers, **options), name)
        return self.path
