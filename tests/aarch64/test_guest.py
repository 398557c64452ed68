"""The tree on aarch64, in the guest of `hack/vm --arch aarch64`: unit tests, containers and the public programs.

A processor that is emulated is twenty times slower than the one that emulates it. So this is a choice: what runs code that
was compiled for the processor, what knows sizes, layouts and numbers of the kernel's, and the public programs.
"""

import json
import os
import shutil
from collections import Counter

import pytest

from conformance import build, known
from conformance.__main__ import AARCH64
from conformance.commit import commit
from conformance.report import merged, summary
from tests.processor import compile_for_32_bits
from tests.unit import schemas
from tests.vm.guest.smoke import LIMITS
from tests.vm.machine import TREE

ARCH = ("--arch", "aarch64")
LIMIT = 1500
"""Seconds of a guest; on a quiet machine each takes a third of it."""
UNIT = {
    "unit": ("arch", "encode", "features", "filters", "generate", "host", "memorypolicy", "seccomp"),
    "unit-core": ("sandbox_seccomp", "scan", "state", "systemd"),
}
"""tests/unit/test_NAME.py by guest: of ctypes, of struct and of numbers; and of C that gcc compiles there."""
INTEGRATION = ("lifecycle", "init", "scheduling", "sealing", "seccomp", "seccomp_notify")
"""tests/integration/test_NAME.py: the verbs; personality(2); the memory of the executable, and its end in init; filters, and a thread."""
OF_PAGES = (
    "tests/integration/test_lifecycle.py",
    "tests/integration/test_init.py",
    "tests/integration/test_sealing.py",
    "tests/integration/test_seccomp_notify.py",
    "tests/integration/test_mounts.py::test_options_that_go_by_mount",
)
"""What a kernel with larger pages could break: mappings, stacks, and mount(2), which takes a page."""
CALLS = {
    "calls": ("tests/integration/test_seccomp_calls.py", "tests/security/test_identity.py"),
    "killed": (
        "tests/fault/test_killed.py::test_each_removal_of_a_file",
        "tests/fault/test_killed.py::test_at_every_system_call[start]",
        "tests/fault/test_killed.py::test_at_every_system_call[create]",
    ),
}
"""By guest, what names system calls by their numbers: in filters, in a program of its own, and in what ptrace(2) reports."""
HURRY = os.environ.get("OCIRT_TEST_WITHIN", "")
"""Seconds in which a single guest starts as many public programs as it can; docs/conformance.md then names the others."""
AGAIN = os.environ.get("OCIRT_TEST_PROGRAMS", "").split()
"""Public programs that run again; of the others the results of the last run count."""
PARTS = 1 if HURRY or AGAIN else 3
"""Guests for the public programs."""
WITHIN = HURRY or str(LIMIT - 500)
"""Seconds after which a guest starts no public program, so that it lives long enough for the last one and for the report."""


def passes(boot, name, paths, options=(), share=None):
    """Run these tests in a guest; all must pass.

    :param share: the folder that is /share there, with the Go modules that the tests read in ``modules``, and with the
        program of 32 bits; by default a new one.
    :returns: the counts of their outcomes.
    """
    guest = boot(
        name,
        "--",
        "env",
        "OCIRT_TEST_SLOWNESS=20",
        "GOMODCACHE=/share/modules",
        "OCIRT_TEST_CALLS32=/share/calls32",
        "/tree/tests/vm/guest/run-tests",
        *paths,
        share=share,
        timeout=LIMIT,
        options=(*ARCH, *options),
    )
    status, outcomes = guest.tests()
    assert (status, outcomes["failures"]) == (0, []), guest.end_of_log()
    return outcomes


@pytest.mark.parametrize("part, least", [("unit", 280), ("unit-core", 200)])
def test_unit(boot, tmp_path_factory, part, least):
    """test_features.py reads the official schemas; the guest has no network to download them from."""
    share = tmp_path_factory.mktemp("share")
    shutil.copytree(schemas.official().parent, share / "modules" / schemas.MODULE)
    paths = [f"tests/unit/test_{name}.py" for name in UNIT[part]]
    assert passes(boot, part, paths, share=share)["passed"] > least


def test_integration(boot):
    assert passes(boot, "integration", [f"tests/integration/test_{name}.py" for name in INTEGRATION])["passed"] > 60


def test_pages_of_16_kib(boot):
    """Debian has no kernel with pages of 64 KiB; test_emulator.py runs what needs no container with them."""
    assert passes(boot, "16k", OF_PAGES, ("--suite", "trixie", "--pages", "16k"))["passed"] > 40


@pytest.mark.parametrize("part, least", [("calls", 80), ("killed", 2)])
def test_system_calls(boot, tmp_path_factory, part, least):
    """The guest's gcc compiles no program for 32-bit ARM."""
    share = tmp_path_factory.mktemp("share")
    compile_for_32_bits(TREE / "tests/integration/data/calls32.c", share / "calls32", "aarch64")
    assert passes(boot, part, CALLS[part], share=share)["passed"] > least


def test_one_container_beside_runc_and_crun(boot):
    """The container is in the cgroup asked for, with the limits asked for; refuses devices; nothing is left."""
    cases = ("runc-cgroupfs", "crun-cgroupfs", "ocirt-disabled", "ocirt-cgroupfs")
    guest = boot("smoke", "--", "/tree/tests/vm/guest/smoke.py", *cases, timeout=600, options=ARCH)
    assert guest.wait() == 0, guest.end_of_log()
    found = guest.read_json("smoke.json")
    assert found["machine"]["processor"] == "aarch64"
    for name in cases:
        if name == "ocirt-disabled":
            assert (found[name]["said"], found[name]["cgroup"]) == (["pid 1", "open", "end"], found["self"])
        else:
            assert found[name] == {
                "said": ["pid 1", "refused", "end"],
                "cgroup": f"/ocirt-test/{name}",
                "memory": str(LIMITS["memory"]["limit"]),
                "pids": str(LIMITS["pids"]["limit"]),
                "left": False,
            }


@pytest.fixture(scope="module")
def suite():
    return build.suite("aarch64")


@pytest.fixture(scope="module")
def programs(suite, boot, tmp_path_factory):
    """The public programs of the guests' :func:`summary`, by name."""
    at, parts = commit(), [json.loads(AARCH64.read_text())] if AGAIN else []
    for part in range(PARTS):
        share = tmp_path_factory.mktemp("share")
        shutil.copytree(suite.folder, share / "cache/ocirt-conformance" / suite.folder.name)
        words = [word for name in (AGAIN or suite.programs)[part::PARTS] for word in ("--program", name)]
        guest = boot(
            f"conformance-{'again' if AGAIN else part}",
            "--",
            "env",
            "OCIRT_TEST_SLOWNESS=20",
            "/tree/tests/vm/guest/run-conformance",
            "--jobs",
            "2",
            "--within",
            WITHIN,
            "--limit",
            "300",
            *words,
            share=share,
            timeout=LIMIT,
            options=ARCH,
        )
        guest.wait()
        assert (share / "report.json").exists(), guest.end_of_log()
        parts.append(summary({**guest.read_json("report.json"), "commit of ocirt": at}))
    short = merged(parts)
    AARCH64.parent.mkdir(parents=True, exist_ok=True)
    AARCH64.write_text(json.dumps(short, indent=1) + "\n")
    (ours,) = short["runtimes"]
    return ours["programs"]


def test_the_public_programs(suite, programs):
    """All run but what known.toml leaves out on cgroup v2, and nothing is otherwise than it says."""
    left_out = {name for entry in known.load(machine="aarch64").at("v2").left_out for name in entry.programs}
    assert list(programs) == suite.programs and len(programs) == 58
    assert [name for name, program in programs.items() if program["outcome"] == "not run"] == []
    assert {name for name, program in programs.items() if program["outcome"] == "left out"} == left_out
    assert {name: program["failures"] for name, program in programs.items() if program["outcome"] == "not ok"} == {}
    assert Counter(program["outcome"] for program in programs.values())["ok"] > 20
