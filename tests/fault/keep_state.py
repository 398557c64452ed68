"""Keep a state directory of a release for test_upgrade.py, as docs/packaging.md says:

    build/venv/bin/python -m tests.fault.keep_state OCIRT tests/fault/data/VERSION

OCIRT is the executable of the release (hack/test --release builds the one before this version, in build/releases).
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.integration.harness import LIMIT, cgroups_path

POSTSTOP = Path("/tmp/ocirt-test-poststop")
"""What the poststop hook of the container writes."""


def keep(executable, folder):
    """Make a container ``old`` with the executable, copy its state directory to ``folder``, and delete the container."""
    with tempfile.TemporaryDirectory() as place:
        bundle, root = Path(place, "bundle"), Path(place, "states")

        def run(*words):
            command = [executable, "--root", root, *words]
            subprocess.run(command, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

        (bundle / "rootfs/bin").mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), bundle / "rootfs/bin/sleep")
        run("spec", "--bundle", bundle)
        config = json.loads((bundle / "config.json").read_text())
        config["process"] |= {"terminal": False, "args": ["sleep", "60"]}
        config["linux"]["cgroupsPath"] = cgroups_path("upgrade")
        config["annotations"] = {"made": "by an older build"}
        config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", 'cat >"$0"', str(POSTSTOP)]}]}
        (bundle / "config.json").write_text(json.dumps(config))
        run("create", "--bundle", bundle, "old")
        try:
            folder.mkdir(parents=True)
            for path in (root / "old").iterdir():
                if path.is_file():
                    shutil.copy(path, folder)
        finally:
            run("delete", "--force", "old")
            POSTSTOP.unlink(missing_ok=True)


if __name__ == "__main__":
    keep(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
