"""Another build of ocirt, as after an upgrade: the old executable is gone, its containers live.

It is this tree with every number changed that a stored program consists of (numbers of steps and sections, sizes of
steps), so that a test notices if this build runs its programs or uses its offsets. OCIRT_TEST_OLDER=/path/to/ocirt
tests with another build, such as that of an earlier commit.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.integration.harness import TREE

PLACE = TREE / "build/older"
CHANGES = {
    "ocirt/plan/steps/__init__.py": (
        "STEPS = tuple(Step.__subclasses__())",
        "STEPS = tuple(reversed(Step.__subclasses__()))",
    ),
    "ocirt/plan/steps/base.py": ('SECTIONS = (\n    "host",', 'SECTIONS = (\n    "unused",\n    "host",'),
    "ocirt/plan/steps/hooks.py": (
        '    sentence = "run hook',
        '    fields = {"older": "number", **fields}\n    defaults = {**defaults, "older": 0}\n    sentence = "run hook',
    ),
}
"""Numbers of steps, numbers of sections, the size of a step."""


def older():
    """The path of the executable, which is built if necessary."""
    if "OCIRT_TEST_OLDER" in os.environ:
        return Path(os.environ["OCIRT_TEST_OLDER"])
    source = PLACE / "tree"
    for name in ("meson.build", "meson.options", "pyproject.toml", "LICENSE"):
        copy(TREE / name, source / name)
    for name in ("ocirt", "spec"):
        for path in (TREE / name).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                copy(path, source / path.relative_to(TREE), lambda data, path=path: altered(path, data))
    run = {"cwd": PLACE, "check": True, "timeout": 120, "stdin": subprocess.DEVNULL, "capture_output": True}
    if not (PLACE / "meson/build.ninja").exists():
        subprocess.run(
            [sys.executable, "-m", "mesonbuild.mesonmain", "setup", "-Dtree=true", PLACE / "meson", source], **run
        )
    subprocess.run([Path(sys.executable).with_name("ninja"), "-C", PLACE / "meson", "--quiet"], **run)
    bin = PLACE / "bin"
    bin.mkdir(exist_ok=True)
    copy(PLACE / "meson/ocirt/core/ocirt", bin / "ocirt")
    copy(PLACE / "meson/ocirt/core/ocirt-python-tree", bin / "ocirt-python")
    return bin / "ocirt"


def copy(path, to, change=bytes):
    """Copy a file if it has changed, because the build looks at times."""
    data = change(path.read_bytes())
    if not to.exists() or to.read_bytes() != data:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(data)
        shutil.copymode(path, to)


def altered(path, data):
    name = str(path.relative_to(TREE))
    if name not in CHANGES:
        return data
    old, new = CHANGES[name]
    text = data.decode()
    assert text.count(old) == 1, f"{name}: expected {old} exactly once"
    return text.replace(old, new).encode()
