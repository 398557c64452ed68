"""The examples of docs/images.md, as they stand, in a process of their own."""

import re
import subprocess
import sys
import tarfile

import pytest

from tests.images import Layout, directory, entry, layer
from tests.integration.harness import LIMIT, TREE
from tests.integration.test_library_docs import BEGIN, cgroups_path

EXAMPLES = re.findall(r"^```python\n(.*?)^```$", (TREE / "docs/images.md").read_text(), re.S | re.M)

STORE = """
import functools
for name in ("load", "find", "pull"):
    setattr(ocirt.Image, name, functools.partial(getattr(ocirt.Image, name), store={store!r}, runtime=default))
"""


@pytest.fixture
def archive(tmp_path, image):
    """An OCI archive with busybox in it."""
    busybox = (image / "bin/busybox").read_bytes()
    layout = Layout(tmp_path / "layout").image(
        layer(directory("bin"), entry("bin/sh", busybox, mode=0o755), directory("tmp", 0o1777)),
        config={"Env": ["NAME=the image"], "Cmd": ["sh"]},
    )
    path = tmp_path / "image.tar"
    with tarfile.open(path, "w") as file:
        for each in ("oci-layout", "index.json", "blobs"):
            file.add(layout / each, each)
    return path


@pytest.mark.v1
@pytest.mark.cgroups
@pytest.mark.parametrize("example", EXAMPLES)
def test_example(ocirt, runtime, archive, tmp_path, example):
    program = tmp_path / "example.py"
    begin = BEGIN.format(
        tree=str(TREE),
        root=str(ocirt.root),
        environment=dict(runtime.environment),
        cgroup=cgroups_path("docs"),
        parent=cgroups_path("sandboxes"),
    )
    assert "/srv/image.tar" in example
    program.write_text(
        begin + STORE.format(store=str(tmp_path / "store")) + example.replace("/srv/image.tar", str(archive))
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=LIMIT * 2)
    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_examples():
    assert len(EXAMPLES) == 3
