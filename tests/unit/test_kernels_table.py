"""docs/kernels.md against the sources: what a kernel newer than the oldest promised one adds has a row, with living tests."""

import re
from functools import cache
from pathlib import Path

import pytest

from ocirt.model.host import OLDEST_KERNEL
from tests.unit.schemas import ROOT
from tests.unit.test_spec_table import functions_of

PAGE = (ROOT / "docs/kernels.md").read_text()
SOURCES = ROOT / "ocirt"
CALLS_OF_THE_OLDEST = 447
"""The last number of a system call of Linux 5.14 (memfd_secret). On every processor the later ones count on from there."""
MENTION = re.compile(r"(?:Linux|[Kk]ernels since|kernel, before) (\d+\.\d+)\b")
NOT_USED = {"validate/typos.py"}
"""Sources that name the kernels of what others use."""

OLD = """
AT_EACCESS AT_EMPTY_PATH AT_FDCWD AT_PAGESZ AT_RECURSIVE AT_REMOVEDIR AT_SYMLINK_FOLLOW AT_SYMLINK_NOFOLLOW
BPF_CGROUP_DEVICE BPF_F_ALLOW_MULTI BPF_F_REPLACE BPF_MAXINSNS BPF_OBJ_GET_INFO_BY_FD BPF_PROG_ATTACH
BPF_PROG_GET_FD_BY_ID BPF_PROG_LOAD BPF_PROG_QUERY BPF_PROG_TYPE_CGROUP_DEVICE
CLONE_CHILD_CLEARTID CLONE_FILES CLONE_FS CLONE_INTO_CGROUP CLONE_NEWNET CLONE_NEWNS CLONE_NEWUSER CLONE_PARENT CLONE_PIDFD CLONE_SIGHAND
CLONE_SYSVSEM CLONE_THREAD CLONE_VM CLOSE_RANGE_CLOEXEC
FSCONFIG_CMD_CREATE FSCONFIG_CMD_RECONFIGURE FSCONFIG_SET_FD FSCONFIG_SET_FLAG FSCONFIG_SET_STRING FSMOUNT_CLOEXEC
FSOPEN_CLOEXEC FSPICK_CLOEXEC FSPICK_EMPTY_PATH
F_ADD_SEALS F_DUPFD_CLOEXEC F_GETFD F_GETFL F_GET_SEALS F_SEAL_GROW F_SEAL_SEAL F_SEAL_SHRINK F_SEAL_WRITE F_SETFD F_SETFL
KEYCTL_DESCRIBE KEYCTL_JOIN_SESSION_KEYRING KEYCTL_SETPERM MFD_ALLOW_SEALING MFD_CLOEXEC
MOUNT_ATTR_IDMAP MOUNT_ATTR_NODEV MOUNT_ATTR_NOEXEC MOUNT_ATTR_NOSUID MOUNT_ATTR_RDONLY
MOVE_MOUNT_F_EMPTY_PATH MOVE_MOUNT_T_EMPTY_PATH MREMAP_FIXED MREMAP_MAYMOVE NS_GET_NSTYPE OPEN_TREE_CLONE
PR_CAPBSET_DROP PR_CAPBSET_READ PR_CAP_AMBIENT PR_CAP_AMBIENT_CLEAR_ALL PR_CAP_AMBIENT_RAISE PR_GET_SECCOMP
PR_SET_CHILD_SUBREAPER PR_SET_DUMPABLE PR_SET_KEEPCAPS PR_SET_MM PR_SET_MM_MAP PR_SET_NAME
PR_SET_PDEATHSIG P_ALL P_PIDFD
RESOLVE_BENEATH RESOLVE_IN_ROOT RESOLVE_NO_MAGICLINKS RESOLVE_NO_SYMLINKS RESOLVE_NO_XDEV
SECCOMP_MODE_FILTER SECCOMP_SET_MODE_FILTER
"""
"""Constants that Linux 5.14 has, of the families to which later kernels have added some."""
FAMILIES = (
    "AT BPF CLONE CLOSE_RANGE FSCONFIG FSMOUNT FSOPEN FSPICK F KEYCTL LANDLOCK LISTMOUNT MFD MOUNT_ATTR MOVE_MOUNT"
)
FAMILIES += " MREMAP NS OPEN_TREE P PIDFD PR RESOLVE SECCOMP STATMOUNT"
CONSTANT = re.compile(rf"\b(?:{'|'.join(FAMILIES.split())})_[A-Z][A-Z0-9_]*\b(?!\*)")


def version(text):
    return tuple(int(number) for number in text.split("."))


@cache
def rows():
    """The cells of every row: versions, what is new, its use, what older kernels get, sources, tests."""
    lines = [line for line in PAGE.splitlines() if re.match(r"\| \d", line)]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert found and all(len(row) == 6 for row in found), [row for row in found if len(row) != 6]
    return found


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def sources(folder=SOURCES):
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".c", ".h") and "__pycache__" not in path.parts
    ]


def test_the_page_names_the_oldest_kernel():
    assert f"ocirt needs Linux {'.'.join(map(str, OLDEST_KERNEL))} or newer" in PAGE


def test_rows_are_of_newer_kernels_and_in_order():
    first = [version(row[0].split(", ")[0]) for row in rows()]
    assert first == sorted(first)
    assert all(version(each) > OLDEST_KERNEL for row in rows() for each in row[0].split(", "))


def test_every_row_has_sources_and_tests():
    for row in rows():
        assert quoted(row[4]) and quoted(row[5]), row
        for name in quoted(row[4]):
            assert (SOURCES / name).is_file(), name
        for name in quoted(row[5]):
            path, _, function = name.partition("::")
            assert function in functions_of(path), name


def mentions(path):
    """The versions that a source names in comments and texts, of which a line may end between the words."""
    text = re.sub(r"\n\s*(?://|#)?\s*", " ", path.read_text())
    return {found for found in MENTION.findall(text) if version(found) > OLDEST_KERNEL}


def test_every_version_in_the_sources_has_a_row():
    known = {(name, each) for row in rows() for name in quoted(row[4]) for each in row[0].split(", ")}
    named = {
        (str(path.relative_to(SOURCES)), found)
        for path in sources()
        for found in mentions(path)
        if str(path.relative_to(SOURCES)) not in NOT_USED
    }
    assert named - known == set()


def test_mentions_are_found(tmp_path):
    source = tmp_path / "a.c"
    source.write_text(
        "// Since Linux\n// 6.3 it is. Kernels since 6.13 do; the kernel, before 6.8, did.\n# Linux 5.11\n"
    )
    assert mentions(source) == {"6.3", "6.13", "6.8"}


def test_every_newer_call_of_the_core_has_a_row():
    header = next(Path("/usr/include").rglob("asm/unistd_64.h"), None)
    if header is None:
        pytest.skip("no kernel headers are installed")
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}
    named = {word for row in rows() for word in quoted(row[1])}
    calls = {name for path in sources(SOURCES / "core") for name in re.findall(r"\bSYS_(\w+)\b", path.read_text())}
    newer = {name for name in calls if numbers.get(name, CALLS_OF_THE_OLDEST + 1) > CALLS_OF_THE_OLDEST}
    assert newer - named - {"prlimit", "L"} == set()


def test_every_newer_constant_of_the_core_has_a_row():
    named = {word for row in rows() for word in quoted(row[1])}
    used = {name for path in sources(SOURCES / "core") for name in CONSTANT.findall(path.read_text())}
    assert used - set(OLD.split()) - named == set(), "in OLD, or with a row of docs/kernels.md"
