"""hack/install into /opt/ocirt and away again, over file systems of the test's own; and `pip install .` in a virtual environment."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.integration.harness import TREE, Runtime, cgroups_path


def run(*command, **more):
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        cwd="/",
        **more,
    )
    assert done.returncode == 0, done
    return done.stdout


@pytest.fixture
def places():
    """Empty /opt, /usr/local/bin and /usr/local/share, in the tests' mount namespace."""
    mounted = []
    for place in ("/opt", "/usr/local/bin", "/usr/local/share"):
        run("mount", "-t", "tmpfs", "tmpfs", place)
        mounted.append(place)
    yield
    for place in mounted:
        run("umount", place)


IMPORTED = """
import sys, ocirt
runtime = ocirt.Runtime(root=sys.argv[1])
print(runtime.executable)
config = ocirt.sandbox(["echo", "hello"], cgroup=sys.argv[3])
print(ocirt.run(config=config, rootfs=sys.argv[2], runtime=runtime).text)
"""


def imported(python, ocirt, image, **more):
    """What a program that imports ocirt prints: the executable that it has found, and a sandbox's word (docs/library.md, "Install")."""
    return run(python, "-c", IMPORTED, ocirt.root, image, cgroups_path("imported"), **more).split()


def test_import_from_the_tree(ocirt, image):
    run(TREE / "hack/build")
    assert imported("/usr/bin/python3", ocirt, image, env={"PYTHONPATH": str(TREE)}) == [
        f"{TREE}/build/bin/ocirt",
        "hello",
    ]


def test_install_and_uninstall(places, ocirt, bundle, image):
    run(TREE / "hack/install", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"})
    assert os.readlink("/usr/local/bin/ocirt") == "/opt/ocirt/bin/ocirt"
    for path in ("man/man1/ocirt-run.1", "bash-completion/completions/ocirt", "zsh/site-functions/_ocirt"):
        assert os.readlink(f"/usr/local/share/{path}") == f"/opt/ocirt/share/{path}"
    bundle.shell("exit 3").save()
    assert Runtime("/usr/local/bin/ocirt", ocirt.root)("run", "--bundle", bundle, "c1", env={}).status == 3
    assert imported("/opt/ocirt/bin/python", ocirt, image, env={}) == ["/opt/ocirt/bin/ocirt", "hello"]
    run(TREE / "hack/install", "--uninstall")
    assert os.listdir("/opt") == [] and os.listdir("/usr/local/bin") == []
    assert [name for _, _, names in os.walk("/usr/local/share") for name in names] == []


def test_pip_install_in_a_virtual_environment(ocirt, bundle, tmp_path, image):
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(tmp_path / "venv/bin/pip", "install", "-q", TREE)
    bundle.shell("exit 4").save()
    assert (
        Runtime(tmp_path / "venv/bin/ocirt", ocirt.root)("run", "--bundle", bundle, "c1", env={}, cwd="/").status == 4
    )
    assert imported(tmp_path / "venv/bin/python", ocirt, image, env={}) == [str(tmp_path / "venv/bin/ocirt"), "hello"]
    # The modules of a create are one file's.
    trace = subprocess.run(
        [
            "strace",
            "-f",
            "-e",
            "trace=openat",
            tmp_path / "venv/bin/ocirt",
            "--root",
            ocirt.root,
            "run",
            "--no-cache",
            "--bundle",
            str(bundle),
            "c1",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
    ).stderr
    opened = [
        name
        for name in re.findall(r'openat\(AT_FDCWD, "([^"]+)".* = \d+$', trace, re.M)
        if "/site-packages/ocirt" in name
    ]
    assert [name.rpartition("/")[2] for name in opened] == [f"code.{sys.implementation.cache_tag}"], opened
    version = run(
        tmp_path / "venv/bin/python",
        "-c",
        "import ocirt, ocirt._build; print(ocirt.__version__, ocirt._build.BUILD_ID)",
    ).split()
    assert run(tmp_path / "venv/bin/ocirt", "--version").splitlines()[:2] == [
        f"ocirt version {version[0]}",
        f"commit: {version[1]}",
    ]
    assert json.loads(run(tmp_path / "venv/bin/ocirt", "features"))["annotations"]["org.ocirt.commit"] == version[1]
    assert run(tmp_path / "venv/bin/ocirt", "validate", bundle) == ""
    bundle.config["hostname"] = 5
    bundle.save()
    wrong = Runtime(tmp_path / "venv/bin/ocirt", ocirt.root)("validate", bundle, env={}, cwd="/")
    assert (wrong.status, wrong.out) == (1, "config.json: hostname: found 5, expected a string\n")
    run(tmp_path / "venv/bin/pip", "uninstall", "-q", "-y", "jsonschema")
    message = Runtime(tmp_path / "venv/bin/ocirt", ocirt.root).fails("validate", bundle, env={}, cwd="/")
    assert (
        "ocirt validate: needs the Python package jsonschema" in message
        and str(tmp_path / "venv/bin/python") in message
    )
