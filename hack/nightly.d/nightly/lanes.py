"""The lanes: what runs where."""

from pathlib import Path
from typing import NamedTuple

TREE = Path(__file__).resolve().parents[3]
VERSIONS = r"""
. /etc/os-release
echo "Debian: ${VERSION_CODENAME-$ID}"
echo "kernel: $(uname -r)"
echo "cgroups: $(if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo v2; else echo v1; fi)"
python3 --version | sed 's/ /: /'
for each in podman buildah docker containerd crun runc criu; do
  type $each >/dev/null 2>&1 || continue
  echo "$each: $($each --version | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1)"
done
"""
"""A shell script that prints facts of a host, ``NAME: VALUE`` in each line."""


class Lane(NamedTuple):
    """One run of tests on one host.

    :ivar name: the word for hack/nightly.
    :ivar host: the host, as a heading.
    :ivar command: the words that run the tests.
    :ivar inside: the words before a command that runs on the host.
    :ivar results: where this machine finds what the command has pytest write (--junitxml).
    """

    name: str
    host: str
    command: tuple[str, ...]
    inside: tuple[str, ...]
    results: Path


RESULTS = "build/nightly/results.xml"
"""Relative to the tree, whose build/ is another folder in a root."""


def here(name: str, host: str, *words: str) -> Lane:
    """A lane of hack/test on this machine."""
    path = f"build/nightly/{name}.xml"
    return Lane(name, host, ("hack/test", *words, f"--junitxml={path}"), (), TREE / path)


def root(suite: str) -> Lane:
    """The engines' lane in the root of another Debian."""
    return Lane(
        f"engines-{suite}",
        f"Engines of Debian {suite}, on this machine's kernel",
        ("hack/test", f"--engines={suite}", f"--junitxml={RESULTS}"),
        ("hack/engines-root", suite, "--"),
        TREE / "build/roots" / suite / RESULTS.removeprefix("build/"),
    )


LANES = (
    here("here", "This machine"),
    here("engines", "This machine's engines", "--engines"),
    root("trixie"),
    root("forky"),
    root("sid"),
)
