"""``ocirt doctor`` in containers that forbid what containers need."""

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import pytest

from ocirt.compile.capabilities import BITS

TREE = Path(__file__).parents[2]
NEWER = [
    *("clone3", "openat2", "close_range", "pidfd_open", "pidfd_getfd", "faccessat2", "mount_setattr", "fsopen"),
    *("fsmount", "move_mount", "open_tree", "fsconfig", "fspick", "pidfd_send_signal", "keyctl"),
]
"""Calls that Docker's profile of 2019 does not have: it answers EPERM to them."""


@pytest.fixture
def examine(ocirt, bundle):
    """A function that runs doctor as root in the bundle's container, which has this machine's programs, and gives its
    rows.
    """
    host_caps = int(next(row for row in open("/proc/self/status") if row.startswith("CapBnd")).split()[1], 16)
    folders = ["/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", sys.base_prefix, str(TREE)]
    for folder in [each for each in folders if os.path.isdir(each)]:
        source = os.path.realpath(folder)
        bundle.config["mounts"].append({"destination": folder, "source": source, "options": ["rbind", "ro"]})

    def rows(capabilities):
        held = [name for name in BITS if host_caps & BITS[name] and name in capabilities]
        bundle.config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), held)
        bundle.args(str(ocirt.executable), "doctor", "--json").save()
        return json.loads(ocirt("run", "--bundle", bundle, "c1").out)

    return rows


def found(rows, level, words):
    return [row for row in rows if row["level"] == level and words in row["found"]]


def test_in_a_container_without_rights(examine):
    rows = examine(["CAP_KILL"])
    assert found(rows, "fault", "root lacks CAP_SYS_ADMIN, needed for the namespaces and mounts of every container")
    (refused,) = found(rows, "fault", "no user namespace can be made")
    assert "--cap-add SETFCAP" in refused["mend"]
    assert not found(rows, "fault", "refuses")
    assert all(row["mend"] for row in rows if row["level"] == "fault"), rows


def test_below_an_old_profile_of_docker(examine, bundle):
    rules = [{"names": NEWER, "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]
    bundle.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    rows = examine(list(BITS))
    (refused,) = found(rows, "fault", "the seccomp profile under which this process runs refuses ")
    assert [name for name in NEWER if name != "keyctl" and f" {name}" not in refused["found"]] == []
    assert "newer profile" in refused["mend"] and "(EPERM)" in refused["found"]
    (keyctl,) = found(rows, "note", "refuses keyctl (EPERM)")
    assert keyctl["mend"] == "create with --no-new-keyring"


@pytest.mark.parametrize("covered", [True, False])
def test_whether_a_user_namespace_can_mount_proc(examine, bundle, covered):
    if not covered:
        del bundle.config["linux"]["maskedPaths"], bundle.config["linux"]["readonlyPaths"]
    rows = examine(list(BITS))
    assert found(rows, "good", "user namespaces can be made")
    assert len(found(rows, "note", "no user namespace can mount proc (mount /proc failed: ")) == covered


def test_with_cgroups_that_are_read_only(examine, bundle):
    options = ["ro", "nosuid", "noexec", "nodev"]
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if each["destination"] != "/sys/fs/cgroup"]
    bundle.config["mounts"].append(
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options}
    )
    (refused,) = found(examine(list(BITS)), "fault", "is read-only: no container gets a cgroup")
    assert "--cgroup-manager disabled" in refused["mend"]


def test_the_examples_of_its_page(ocirt, tmp_path):
    """They are what this build says of the same bundle; only the host's own names and numbers may differ."""
    spec = importlib.util.spec_from_file_location("doctor_page", TREE / "hack/docs.d/doctor.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    text = page.PAGE.read_text()
    for name, lines in page.examples(str(ocirt.executable)).items():
        block = text.partition(f"<!-- {name}, written")[2].partition("<!-- end -->")[0]
        shown, now = [line.strip() for line in block.splitlines()[1:] if line.strip()], lines.splitlines()
        assert shown[0] == now[0]
        if name == "bundle":
            paths = [re.findall(r"(?:linux|mounts)[^ ]*(?=: | does)", "\n".join(each)) for each in (shown, now)]
            assert paths[0] == paths[1] and len(paths[0]) == 3
        elif name == "json":
            rows = [json.loads("\n".join(each[1:]).strip().rstrip(",") + "]") for each in (shown, now)]
            assert rows[0][0].keys() == rows[1][0].keys() and [each["level"] for each in rows[0]] == ["good", "fault"]
