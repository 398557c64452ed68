"""``ocirt bundle``: a bundle of an image, for any runtime."""

import json
import os

from ..errors import OcirtError, RequestError, reason
from ..images.image import Image
from ..images.unpack import SIZE_MAX
from ..library.remove import remove_tree
from . import spec
from .store import runtime_of, store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .parser import CommandLine


def run(line: "CommandLine") -> None:
    """Make the bundle: config.json, and a root file system of its own in rootfs.

    :raises OcirtError: the image does not exist, or the directory is not empty or cannot be written. Nothing of the
        bundle remains.
    """
    name, directory = line.arguments[0], os.path.abspath(line.arguments[1])
    runtime = runtime_of(line.options)
    image = Image.find(name, store=store_of(line.options), runtime=runtime)
    try:
        os.makedirs(directory, exist_ok=True)
        if os.listdir(directory):
            raise RequestError(f"{directory}: found a directory that is not empty, expected an empty or a new one")
    except OSError as error:
        raise OcirtError(f"{directory}: {reason(error)}") from None
    base = spec.default() if os.geteuid() == 0 else spec.rootless(os.geteuid(), os.getegid())
    config = image.applied_to(base) | {"root": {"path": "rootfs"}}
    rootfs, file = os.path.join(directory, "rootfs"), os.path.join(directory, "config.json")
    try:
        image.copy_to(rootfs, runtime=runtime, max_size=line.options.max_size or SIZE_MAX)
        with open(file, "x", encoding="utf-8") as out:
            out.write(json.dumps(config, indent="\t"))
    except BaseException as error:
        for path in (rootfs, file):
            remove_tree(path)
        if isinstance(error, OSError):
            raise OcirtError(f"{directory}: {reason(error)}") from None
        raise
