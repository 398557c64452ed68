"""What a create that misses the cache pays for Python: modules. (Milliseconds are hack/bench's.)

A module that joins the compile path joins EXPECTED below, where a reviewer sees it; a module of the standard
library that costs as much as the whole compilation (FORBIDDEN) does not.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocirt.cli import spec

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "re",
    "enum",
    "dataclasses",
    "typing",
    "pathlib",
    "argparse",
    "json",
    "ctypes",
    "subprocess",
    "logging",
    "functools",
    "collections",
    "ast",
    "inspect",
    "tempfile",
    "shutil",
}
EXPECTED = """
_json gc
ocirt ocirt._build ocirt.boot ocirt.errors
ocirt.cgroups ocirt.cgroups.cgroupfs ocirt.cgroups.choose ocirt.cgroups.devices
ocirt.cli ocirt.cli.create
ocirt.compile ocirt.compile.capabilities ocirt.compile.container ocirt.compile.devices ocirt.compile.hooks ocirt.compile.mount_options ocirt.compile.mounts
ocirt.compile.namespaces ocirt.compile.notify ocirt.compile.paths ocirt.compile.process ocirt.compile.rootfs ocirt.compile.seccomp ocirt.compile.sysctl
ocirt.model ocirt.model.config ocirt.model.crun ocirt.model.host ocirt.model.json ocirt.model.peers ocirt.model.request ocirt.model.text ocirt.model.view
ocirt.plan ocirt.plan.encode ocirt.plan.steps ocirt.plan.steps.base ocirt.plan.steps.cgroups ocirt.plan.steps.child ocirt.plan.steps.criu
ocirt.plan.steps.hardening ocirt.plan.steps.hooks ocirt.plan.steps.mounts ocirt.plan.steps.namespaces ocirt.plan.steps.notify ocirt.plan.steps.process
ocirt.plan.steps.resctrl ocirt.plan.steps.rootfs ocirt.plan.steps.seccomp ocirt.plan.steps.state ocirt.plan.steps.systemd
"""
EXPECTED_FOR_EXEC = (
    EXPECTED
    + """
ocirt.cli.exec ocirt.compile.bits ocirt.compile.exec ocirt.model.exec ocirt.created_with
"""
)

DRIVER = (
    "ocirt.cgroups.v2 ocirt.cgroups.filter"
    if Path("/sys/fs/cgroup/cgroup.controllers").exists()
    else "ocirt.cgroups.v1"
)

PREPARE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import ocirt.boot
try:
    import ocirt._build
except ImportError:  # a source tree without a build
    build = sys.modules["ocirt._build"] = type(sys)("ocirt._build")
    build.BUILD_ID = "0" * 32
"""
COMPILE = f"""{PREPARE}
from ocirt.cli.create import compile_program, read_all
from posix import O_RDONLY, open
words = {{"verb": "create", "id": "c", "bundle": "/bundle", "root": "/run/ocirt", "console-socket": "/socket"}}
program = compile_program(read_all(open(sys.argv[1], O_RDONLY)), words)
"""
EXEC = f"""{PREPARE}
from ocirt.cli.exec import compile_program, read_all
from posix import O_RDONLY, open
words = {{"verb": "exec", "id": "c", "root": "/run/ocirt", "process": "/process.json"}}
created = {{"verb": "create", "id": "c", "bundle": "/bundle", "root": "/run/ocirt"}}
data, own = read_all(open(sys.argv[1], O_RDONLY)), b'{{"cwd": "/", "args": ["true"], "execCPUAffinity": {{"final": "0"}}}}'
program = compile_program(words, [], own, data, created, '{{}}')
"""
SHOW = "\nprint(len(program), *sys.modules)"


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory):
    """Runs a program as the launcher runs Python, with the .pyc files that an installed package has."""
    cache = tmp_path_factory.mktemp("cache")

    def run(program, *words):
        return subprocess.run(
            [sys.executable, "-I", "-S", "-X", f"pycache_prefix={cache}", "-c", program, *words],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    return run


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "config.json"
    # Only root may create the container of the default.
    config = spec.default() if os.geteuid() == 0 else spec.rootless(os.geteuid(), os.getegid())
    path.write_text(json.dumps(config, indent="\t"))
    return str(path)


@pytest.fixture(scope="module")
def modules(interpreter, config):
    """The modules that compiling imports, above a bare interpreter's."""
    bare = interpreter("import sys; print(*sys.modules)").split()
    size, *ours = interpreter(COMPILE + SHOW, config).split()
    assert int(size) > 1000
    return set(ours) - set(bare)


def test_nothing_expensive_is_imported(modules):
    assert modules & FORBIDDEN == set()


def test_the_modules_are_these(modules):
    assert modules == {*EXPECTED.split(), *DRIVER.split()}


def test_the_modules_of_exec(interpreter, config):
    bare = interpreter("import sys; print(*sys.modules)").split()
    size, *ours = interpreter(EXEC + SHOW, config).split()
    assert int(size) > 1000 and set(ours) - set(bare) == {*EXPECTED_FOR_EXEC.split(), *DRIVER.split()}
