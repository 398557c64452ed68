"""``ocirt run --image``: a container of an image. This makes its bundle in the store, and the executable runs that."""

import json
import os
import sys

from ..errors import RequestError
from ..failures import NoImage
from ..images import containers
from ..images.image import Image
from ..images.names import is_digest
from ..images.process import settings_of
from ..images.volumes import mounts_of
from ..library import remove
from ..model.request import checked_id
from . import spec
from .create import execute
from .pull import pulled
from .root import root_of
from .store import runtime_of, store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Never

    from ..images.store import Store
    from .parser import CommandLine

OF_BUNDLE = ("bundle", "config", "layer", "upper", "work")
"""Flags that say what the image says."""
OF_IMAGE = ("image", "store", "env", "user", "cwd")
"""Flags that are read here, and not by the executable."""
HOOK_TIMEOUT = 60


def run(line: "CommandLine") -> "Never":
    """Run the image. One that is not in the store is pulled.

    :raises OcirtError: the image does not exist, or its container cannot be made.
    """
    options = line.options
    for name in OF_BUNDLE:
        if getattr(options, name):
            raise RequestError(f"--{name}: found together with --image, which has its own; expected one of both")
    id, store = checked_id(line.arguments[0]), store_of(options)
    image = _image(line, store)
    with store.adding():
        directory = containers.make(store, root_of(options), id, image)
    try:
        with store.errors():
            _make_bundle(line, image, store, directory)
        given = line.words[len(line.start) + 1 :]
        flags = [
            each for each in given[: given.index("--")] if each.removeprefix("--").partition("=")[0] not in OF_IMAGE
        ]
        execute(
            line.executable,
            [*line.start, "run", *flags, f"--bundle={directory}", "--rootfs-annotations=true", "--", id],
        )
    except BaseException:
        remove.remove_tree(directory)
        raise


def _make_bundle(line: "CommandLine", image: Image, store: "Store", directory: str) -> None:
    """Write config.json into the container's directory.

    :raises OcirtError: the image's config is broken, or a flag is wrong.
    """
    options = line.options
    config = image.container_config(
        _base(os.isatty(0) and not options.detach or bool(options.console_socket)),
        line.arguments[1:] or None,
        env=_variables(options.env or ()),
        user=options.user,
        cwd=options.cwd,
        upper=os.path.join(directory, "upper"),
        work=os.path.join(directory, "work"),
        mountpoint=os.path.join(directory, "rootfs"),
    )
    config["mounts"] += mounts_of(image.layers, settings_of(image.config).get("Volumes") or {}, directory)
    # The directories end with the container, whoever deletes it. If nobody does, the next run --image removes them.
    hook = [sys.executable, "-I", "-S", "-B", os.path.abspath(remove.__file__), directory]
    config["hooks"] = {"poststop": [{"path": hook[0], "args": hook, "timeout": HOOK_TIMEOUT}]}
    with open(os.path.join(directory, "config.json"), "x") as file:
        json.dump(config, file)


def _image(line: "CommandLine", store: "Store") -> Image:
    try:
        return Image.find(line.options.image, store=store, runtime=runtime_of(line.options))
    except NoImage:
        if is_digest(line.options.image):
            raise
    return pulled(line.options.image, store, runtime_of(line.options))


def _base(terminal: bool) -> "dict[str, Any]":
    """The config of ``ocirt spec``, with a root file system that may be written."""
    config = spec.default() if os.geteuid() == 0 else spec.rootless(os.geteuid(), os.getegid())
    config["process"]["terminal"] = terminal
    config["root"] = {"path": "rootfs", "readonly": False}
    return config


def _variables(given: "list[str] | tuple[str, ...]") -> dict[str, str]:
    for each in given:
        if "=" not in each:
            raise RequestError(f'--env: found "{each}", expected NAME=VALUE')
    return {name: value for name, _, value in (each.partition("=") for each in given)}
