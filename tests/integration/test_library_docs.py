"""The examples of docs/library.md and docs/sandbox.md, as they stand, in a process of their own; and its figures."""

import os
import re
import subprocess
import sys
import textwrap

import pytest

from tests.integration.harness import LIMIT, TREE, cgroups_path
from tests.integration.lan import on_lan
from tests.integration.library_fixtures import with_python

__all__ = ["with_python"]  # fixtures of the tests here

PAGE = (TREE / "docs/library.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.S | re.M)
SANDBOX = (TREE / "docs/sandbox.md").read_text()
OF_SANDBOX = re.findall(r"^```python\n(.*?)^```$", SANDBOX, re.S | re.M)
README = textwrap.dedent(re.search(r"^    import ocirt\n(?:    .*\n|\n)+", (TREE / "README.md").read_text(), re.M)[0])

BEGIN = """
import sys
sys.path.insert(0, {tree!r})
import ocirt
import ocirt.aio
import ocirt.container
import ocirt.pools
import ocirt.sandboxes
# What the page leaves to defaults is the tests' here: the place of states and of cgroups.
default = ocirt.Runtime(root={root!r}, environment={environment!r})
ocirt.aio.container.Runtime = ocirt.container.Runtime = lambda: default
ocirt.aio.pools.Runtime = ocirt.pools.Runtime = lambda: default
made, number = ocirt.sandbox, iter(range(1000))
described, ocirt.sandboxes.Description.__init__ = ocirt.sandboxes.Description.__init__, lambda self, *args, **more: described(
    self, *args, runtime=default, cgroup={parent!r}, **more
)
ocirt.sandbox = lambda *args, **limits: made(*args, cgroup=f"{cgroup}{{next(number)}}", **limits)
"""


def run_example(text, ocirt, rootfs, place):
    program = place / "example.py"
    begin = BEGIN.format(
        tree=str(TREE),
        root=str(ocirt.root),
        environment={"OCIRT_CACHE": os.environ["OCIRT_CACHE"]},
        cgroup=cgroups_path("docs"),
        parent=cgroups_path("sandboxes"),
    )
    assert "/srv/image" in text
    program.write_text(begin + text.replace("/srv/image", str(rootfs)))
    command = [sys.executable, program]
    if "ocirt.Net" in text:
        command = on_lan(*command)
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT * 2)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.v1
@pytest.mark.cgroups
@pytest.mark.parametrize(
    "example", EXAMPLES, ids=[f"line-{PAGE[: PAGE.index(each)].count(chr(10)) + 1}" for each in EXAMPLES]
)
def test_example(ocirt, with_python, tmp_path, example):
    assert run_example(example, ocirt, with_python, tmp_path) == ""


@pytest.mark.v1
@pytest.mark.cgroups
@pytest.mark.parametrize(
    "example", OF_SANDBOX, ids=[f"line-{SANDBOX[: SANDBOX.index(each)].count(chr(10)) + 1}" for each in OF_SANDBOX]
)
def test_example_of_sandboxes(ocirt, with_python, tmp_path, example):
    assert run_example(example, ocirt, with_python, tmp_path) in ("", "done\n")


@pytest.mark.v1
@pytest.mark.cgroups
def test_the_example_of_the_readme(ocirt, with_python, tmp_path):
    assert run_example(README, ocirt, with_python, tmp_path) == "HELLO\n"


def test_there_are_examples():
    assert len(EXAMPLES) == 9
    first = [line for line in EXAMPLES[0].splitlines() if line and not line.startswith("assert")]
    assert len(first) <= 20, "untrusted code in twenty lines"


def test_its_figures_are_the_tools():
    """A row for each number of threads, between the marks of hack/throughput."""
    block = re.search(r"<!-- written by hack/throughput --docs -->\n(.*?)<!-- end -->", PAGE, re.S)[1]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ([\d.]+) ms \| ([\d.]+) ms \| \d+ \|$", block, re.M)
    assert [int(row[0]) for row in rows] == [1, 2, 4, 8] and all(int(row[1]) > 0 for row in rows)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, Linux .*, \d+ processors, load ", block)
