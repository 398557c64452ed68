"""Users and user namespaces: what rootless containers need."""

import os
import shutil
import subprocess

from ...compile.namespaces import HELPER_FOLDERS
from .asked import existing, read
from .finding import Finding, fault, good, note, package

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...model.host import Host

ENOUGH = 65536
"""Subordinate ids that an ordinary image needs."""
ALL = 2**32 - 1
"""How many ids there are: the last one stands for none, as in chown(2)."""
SWITCHES = {
    "/proc/sys/user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces=15000"),
    "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with userns for ocirt",
    ),
}
"""Files of sysctl(8) -> the value with which the kernel refuses user namespaces to users, and the way back."""
SECONDS = 10
PROGRAMS = "/usr/bin:/bin"
"""Where unshare(1) and true(1) are."""


def examine(host: "Host", root: str | None = None) -> "Iterator[Finding]":
    """Findings about the caller, its subordinate ids, and user namespaces.

    :param root: the directory of states that the caller names by ``--root``.
    """
    who = "root" if host.euid == 0 else f"user {host.euid}"
    yield good(f"{who}{' of a user namespace' if host.in_user_namespace else ''}")
    yield from _namespaces(host)
    if host.euid != 0:
        yield from _named(root) if root else _states(host.euid, host.has_systemd)
        yield from _subordinate(host.euid)


def _named(root: str) -> "Iterator[Finding]":
    """The runtime makes the directory if it is missing."""
    above = existing(os.path.abspath(root))
    if os.path.isdir(above) and os.access(above, os.W_OK):
        yield good(f"states lie in {root}")
    else:
        yield fault(f"--root {root}: this user may not write {above}", "name another directory")


def _states(uid: int, has_systemd: bool) -> "Iterator[Finding]":
    """The directory in which the containers' states lie. A login makes it where systemd runs."""
    directory = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    if os.path.isdir(directory) and os.access(directory, os.W_OK):
        yield good(f"states lie in {directory}/ocirt")
        return
    what = "may not be written by this user" if os.path.isdir(directory) else "does not exist"
    login = f"log in, or as root: loginctl enable-linger {_name(uid)}; or " if has_systemd else ""
    yield fault(
        f"{directory}, for the states of this user's containers, {what}",
        f"{login}use --root with another directory, or set XDG_RUNTIME_DIR to a directory of this user",
    )


def _namespaces(host: "Host") -> "Iterator[Finding]":
    unshare = shutil.which("unshare", path=PROGRAMS)
    if unshare is None:
        yield note("cannot try a user namespace without unshare(1)", package("util-linux"))
        return
    why = _refusal(unshare, "--mount")
    if why is None:
        yield good("user namespaces can be made")
        yield from _own_proc(host, unshare)
        return
    mend = [f"as root: {way}" for path, (value, way) in SWITCHES.items() if read(path) == value]
    if host.euid == 0:
        mend.append("an outer container allows it with --cap-add SYS_ADMIN --cap-add SETFCAP, or --privileged")
    mend.append("an outer container allows it with a seccomp profile that has unshare and clone")
    yield fault(f"no user namespace can be made ({why})", mend[0])


def _own_proc(host: "Host", unshare: str) -> "Iterator[Finding]":
    """The kernel lets a user namespace mount proc only if its caller sees a whole one. Engines cover paths of /proc."""
    why = _refusal(unshare, "--mount", "--pid", "--fork", "--mount-proc")
    if why is not None:
        is_root = host.euid == 0 and not host.in_user_namespace
        yield (note if is_root else fault)(
            f"no user namespace can mount proc ({why}), as containers with one do: paths of this /proc are covered",
            "give the outer container an uncovered one: podman run --security-opt unmask=ALL, "
            "docker run --security-opt systempaths=unconfined",
        )


def _refusal(unshare: str, *more: str) -> str | None:
    """Make a user namespace with further options of unshare(1).

    :returns: why that failed; None if it did not.
    """
    done = subprocess.run(
        [unshare, "--user", "--map-root-user", *more, "true"],
        env={"PATH": PROGRAMS},  # the caller's may lack the program true, which is no fault of the kernel's
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    return done.stderr.strip().rpartition("unshare: ")[2] if done.returncode else None


def _subordinate(uid: int) -> "Iterator[Finding]":
    name = _name(uid)
    for program, file, flag in (("newuidmap", "/etc/subuid", "uids"), ("newgidmap", "/etc/subgid", "gids")):
        path = shutil.which(program, path=":".join(HELPER_FOLDERS))
        if path is None:
            yield fault(
                f"{program} is not installed: a rootless container has only this user's id",
                package("uidmap", "shadow-utils"),
            )
        elif not _may_map(path):
            yield fault(f"{path} has neither set-user-ID nor a file capability", f"as root: chmod u+s {path}")
        count = _count(read(file) or "", name, uid)
        if count >= ENOUGH:
            yield good(f"{count} subordinate {flag} in {file}")
        else:
            yield fault(
                f"{count} subordinate {flag} in {file}, and images use up to {ENOUGH}",
                f"as root: usermod --add-sub{flag} 100000-165535 {name}",
            )


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _may_map(path: str) -> bool:
    if os.stat(path).st_mode & 0o4000:
        return True
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def _count(text: str, name: str, uid: int) -> int:
    """How many subordinate ids a user has."""
    return sum([size for _, size in subordinate(text, name, uid)])


def subordinate(text: str, name: str, uid: int) -> "list[tuple[int, int]]":
    """The ranges, as first id and size, that the lines NAME:FIRST:SIZE of subuid(5) give to a user."""
    rows = [line.split(":") for line in text.splitlines()]
    return [
        (int(row[1]), int(row[2]))
        for row in rows
        if len(row) == 3 and row[0] in (name, str(uid)) and row[1].isdecimal() and row[2].isdecimal()
    ]


def mappable(host: "Host", kind: str) -> "list[tuple[int, int]]":
    """The ranges of ids of the kind ``kind`` (uid or gid) that the caller may map into a user namespace."""
    if host.euid != 0:
        own = host.euid if kind == "uid" else host.egid
        return [(own, 1), *subordinate(read(f"/etc/sub{kind}") or "", _name(host.euid), host.euid)]
    if not host.in_user_namespace:
        return [(0, ALL)]
    rows = [line.split() for line in host.text(f"/proc/self/{kind}_map").splitlines()]
    return [(int(first), int(size)) for first, _, size in rows]
