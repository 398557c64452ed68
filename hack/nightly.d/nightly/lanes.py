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
    :ivar results: where this machine finds what the command has pytest write (--junitxml). A run of a part of the lane by
        hand writes NAME.PART.xml beside it instead of NAME.xml.
    :ivar guests: the folder of what pytest wrote in guests (tests/vm/machine.py).
    """

    name: str
    host: str
    command: tuple[str, ...]
    inside: tuple[str, ...]
    results: Path
    guests: Path | None = None

    def files(self) -> list[Path]:
        """All files of results that there are now."""
        by_hand = sorted(self.results.parent.glob(f"{self.results.stem}.*.xml"))
        guests = sorted(self.guests.glob("*.xml")) if self.guests else []
        return [path for path in (self.results, *by_hand, *guests) if path.exists()]


def here(name: str, host: str, *words: str) -> Lane:
    """A lane of hack/test on this machine."""
    path = f"build/nightly/{name}.xml"
    return Lane(name, host, ("hack/test", *words, f"--junitxml={path}"), (), TREE / path)


def root(name: str, host: str, suite: str, *words: str) -> Lane:
    """A lane of hack/test in the root of another Debian, whose build/ is a folder of this tree's."""
    path = f"nightly/{name}.xml"
    return Lane(
        name,
        host,
        ("hack/test", f"--engines={suite}", *words, f"--junitxml=build/{path}"),
        ("hack/engines-root", suite, "--"),
        TREE / "build/roots" / suite / path,
    )


def engines(suite: str) -> Lane:
    """The engines' lane in the root of another Debian."""
    return root(f"engines-{suite}", f"Engines of Debian {suite}, on this machine's kernel", suite)


def guest(suite: str, folder: str, *options: str) -> Lane:
    """The lane of the guests of a Debian.

    :param folder: where it leaves its results.
    :param options: of hack/vm, for the guest with the most in it.
    """
    path = f"build/nightly/vm-{suite}.xml"
    return Lane(
        f"vm-{suite}",
        f"Debian {suite} in a guest, with systemd and cgroup v2",
        ("hack/test", f"--vm={suite}", f"--junitxml={path}"),
        ("hack/vm", "--suite", suite, *options, "--"),
        TREE / path,
        TREE / folder,
    )


def aarch64() -> Lane:
    """The lane of the other processor."""
    path = "build/nightly/aarch64.xml"
    return Lane(
        "aarch64",
        "aarch64, emulated, with cgroup v2 and without systemd",
        ("hack/test", "--arch=aarch64", f"--junitxml={path}"),
        ("hack/vm", "--arch", "aarch64", "--"),
        TREE / path,
        TREE / "build/vm/aarch64",
    )


LANES = (
    here("here", "This machine"),
    here("engines", "This machine's engines", "--engines"),
    # The kubelet wants containerd 1.7 or newer; Debian 12 has 1.6.
    root("kubernetes", "A kubelet with Debian forky's containerd, on this machine's kernel", "forky", "--kubernetes"),
    here("site", "The documentation site in this machine's Chromium", "--site"),
    here("fresh", "Bare Debians, with a clone of the tree", "--fresh"),
    here("release", "Bare Debians, with the files of a release", "--release"),
    engines("trixie"),
    engines("forky"),
    engines("sid"),
    guest("bookworm", "build/vm"),
    guest("trixie", "build/vm/trixie"),
    guest("forky", "build/vm/forky", "--engines"),
    guest("sid", "build/vm/sid", "--engines"),
    aarch64(),
)
