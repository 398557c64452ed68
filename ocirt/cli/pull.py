"""``ocirt pull``: get an image from a registry."""

import os
from contextlib import contextmanager

from ..images.credentials import default_files
from ..images.image import Image
from ..images.names import parse
from ..images.unpack import SIZE_MAX
from ..packages import load
from .output import write
from .store import runtime_of, store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..images.pull import Progress
    from ..images.store import Store
    from ..library.runtime import Runtime
    from .parser import CommandLine


def run(line: "CommandLine") -> None:
    """Pull the image, and print its digest.

    :raises OcirtError: the registry does not have it, or the store cannot be written.
    """
    options = line.options
    image = pulled(
        line.arguments[0],
        store_of(options),
        runtime_of(options),
        options.quiet,
        platform=options.platform,
        insecure=options.insecure,
        mirrors=options.mirror or (),
        max_size=options.max_size or SIZE_MAX,
        **({"auth_files": [options.auth_file]} if options.auth_file else {}),
    )
    write(f"{image.digest}\n")


def pulled(name: str, store: "Store", runtime: "Runtime", quiet: bool = False, **more: "Any") -> Image:
    """Pull an image, with the credentials of this environment, and show the progress on a terminal.

    :param more: further arguments of :meth:`~ocirt.Image.pull`.
    :raises OcirtError: as :meth:`~ocirt.Image.pull`.
    """
    name = str(parse(name))
    with shown(not quiet and os.isatty(2), name) as progress:
        return Image.pull(
            name, store=store, runtime=runtime, progress=progress, **{"auth_files": default_files(os.environ), **more}
        )


@contextmanager
def shown(is_wanted: bool, name: str) -> "Iterator[Callable[[Progress], None]]":
    """What shows the progress: a bar for each layer on a terminal, if the package rich is installed."""
    try:
        bars = load("rich").progress if is_wanted and load("rich.progress") else None
    except ImportError:
        bars = None
    if bars is None:
        yield lambda _: None
        return
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    console = load("rich.console").Console(stderr=True)
    tasks: dict[str, int] = {}
    with bars.Progress(*columns, console=console, transient=True) as bar:
        console.print(f"pulling {name}", highlight=False)

        def progress(each: "Progress") -> None:
            what = f"{each.phase:6} {each.digest.removeprefix('sha256:')[:12]}"
            if each.digest not in tasks:
                tasks[each.digest] = bar.add_task(what, total=each.size)
            bar.update(tasks[each.digest], description=what, completed=each.count)

        yield progress
