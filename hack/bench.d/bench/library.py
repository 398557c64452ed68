"""What the measurements of the Python library share: a runtime at the place, the words on when and where, and the block of
a page that has the figures.
"""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.commit import commit

from . import BenchError
from .place import Place

if TYPE_CHECKING:
    import ocirt


def runtime_at(place: Place) -> ocirt.Runtime:
    """The library's runtime there. The rootfs gets the directories that a sandbox mounts on."""
    import ocirt

    for name in ("proc", "dev", "tmp"):
        (place.rootfs / name).mkdir(exist_ok=True)
    return ocirt.Runtime(root=str(place.path / "state"), environment={"OCIRT_CACHE": str(place.cache)})


def when_and_where() -> str:
    """The first words of a block."""
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit()}, Linux {platform.release()}, {os.cpu_count()} "
        f"processors, load {load}"
    )


def write_block(page: Path, script: str, text: str) -> None:
    """Put the text in the place of the block that the script has written into the page before.

    :raises BenchError: the page has no such block.
    """
    block = re.compile(rf"(<!-- written by {re.escape(script)} --docs -->\n).*?(<!-- end -->)", re.S)
    whole, count = block.subn(lambda found: found[1] + text + found[2], page.read_text())
    if count != 1:
        raise BenchError(f"{page} has no place for it")
    page.write_text(whole)
