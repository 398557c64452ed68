"""The examples of docs/doctor.md, from real runs:

python3 hack/docs.d/doctor.py [OCIRT]    writes them into the page, by build/bin/ocirt or another executable
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
PAGE = TREE / "docs/doctor.md"
LIMIT = 120
LONG = "engines"
"""A topic whose lines are too long for a page."""


def bundle(ocirt: str, folder: Path) -> Path:
    """Make a bundle that asks for what no host has."""
    box = folder / "web"
    (box / "rootfs/bin").mkdir(parents=True)
    (box / "rootfs/bin/sh").write_text("")
    (box / "rootfs/bin/sh").chmod(0o755)
    subprocess.run([ocirt, "spec", "--bundle", box], check=True, timeout=LIMIT)
    config = json.loads((box / "config.json").read_text())
    config["linux"]["resources"]["cpu"] = {"cpus": "0-63"}
    config["mounts"] += [
        {"destination": "/data", "type": "bind", "source": "/srv/web-data", "options": ["rbind"]},
        {"destination": "/archive", "type": "nosuchfs", "source": "archive"},
    ]
    (box / "config.json").write_text(json.dumps(config))
    return box


def examples(ocirt: str) -> dict[str, str]:
    """The name of each block of the page -> its lines."""

    def run(*words: str) -> str:
        # The executable of a tree keeps programs only where this variable says; one that is installed needs none.
        environment = os.environ | {"OCIRT_CACHE": "/run/ocirt-cache"}
        command = [ocirt, "doctor", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT)
        return done.stdout

    with tempfile.TemporaryDirectory() as folder:
        bundle(ocirt, Path(folder))
        host = [line for line in run().splitlines() if line[6:].split()[0] != LONG]
        return {
            "host": f"$ ocirt doctor | grep -v {LONG}\n" + "\n".join(host),
            "bundle": "$ ocirt doctor web\n" + run("web").strip(),
            "json": "$ ocirt doctor --json web | head -13\n" + "\n".join(run("--json", "web").splitlines()[:13]),
        }


def filled(text: str, blocks: dict[str, str]) -> str:
    """The page with these examples."""
    for name, lines in blocks.items():
        mark = f"<!-- {name}, written by hack/docs.d/doctor.py -->\n"
        before, found, rest = text.partition(mark)
        assert found, f"docs/doctor.md has no block {name}"
        block = "".join([f"    {line}\n" for line in lines.splitlines()])
        text = f"{before}{mark}\n{block}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


if __name__ == "__main__":
    executable = sys.argv[1] if len(sys.argv) > 1 else str(TREE / "build/bin/ocirt")
    PAGE.write_text(filled(PAGE.read_text(), examples(executable)))
