"""The program of a config.json: whether the container will have it when it executes it, and whether the kernel takes its
arguments and its environment.
"""

import os
import stat
from shutil import which

from .asked import place_in
from .finding import Finding, fault, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .asked import Asked

THERE, UNKNOWN, MISSING, NO_PROGRAM, HIDDEN = range(5)
"""What is known of a file of the container: it can be executed; a mount, a hook or a layer decides; nothing brings it; it
cannot be executed; or something covers it."""
EMPTY = ("tmpfs", "devpts", "mqueue", "cgroup", "cgroup2")
"""File systems without a program when they have just been mounted."""
BRINGING = ("prestart", "createRuntime", "createContainer")
"""Hooks that may still mount something into the container."""
MOST_BYTES = 128 << 10
"""MAX_ARG_STRLEN: the most bytes of one argument or variable, with its final zero, execve(2)."""
NOT_EXECUTABLE = " is not an executable file"


def _program(asked: "Asked") -> "Iterator[Finding]":
    """Will the container have process.args[0]?"""
    args = asked.process.get("args") or []
    if not args or not os.path.isdir(asked.root):
        return
    variables = dict(each.partition("=")[::2] for each in asked.process.get("env", []))
    folders = [""] if "/" in args[0] else variables.get("PATH", "").split(":")
    start = asked.process.get("cwd", "/")
    found = [state_of(asked, os.path.join("/", folder or start, args[0])) for folder in folders]
    states = [state for state, _ in found]
    if THERE in states:
        return
    where = "" if "/" in args[0] else f" in any folder of process.env's PATH ({variables.get('PATH', '')})"
    if UNKNOWN in states:
        yield note(f"process.args[0]: the rootfs has no {args[0]}{where}", "unless a mount brings it")
    elif max(states) == MISSING:
        yield fault(f"process.args[0]: the rootfs has no {args[0]}{where}, and no mount brings it")
    else:
        _, why = max(found)
        mend = f"chmod +x {why.partition(' ')[0]}" if why.endswith(NOT_EXECUTABLE) else "take this away"
        yield fault(f"process.args[0]: {why}", mend)


def state_of(asked: "Asked", path: str) -> tuple[int, str]:
    """What is known of the file ``path`` of the container, and why it cannot be executed."""
    root = os.path.realpath(asked.root)
    place = place_in(root, path)
    if place is None:
        return MISSING, ""
    hooked = any([asked.document.get("hooks", {}).get(point) for point in BRINGING])
    layered = any([name.startswith("org.ocirt.rootfs.") for name in asked.document.get("annotations", {})])
    state, why = _uncovered(asked, root, place)
    for index, masked in enumerate(asked.linux.get("maskedPaths", [])) if state == THERE else ():
        if _is_above(place_in(root, masked) or "", place):
            state, why = HIDDEN, f"linux.maskedPaths[{index}], {masked}, hides {path}"
    if state != THERE and (hooked or layered):
        return (THERE if state == HIDDEN else UNKNOWN), ""
    return state, why


def _uncovered(asked: "Asked", root: str, place: str) -> tuple[int, str]:
    """The same without masks: the last mount at the file or above it has it, and otherwise the rootfs."""
    in_rootfs = _file(place)
    for index, mount in reversed([*enumerate(asked.document.get("mounts", []))]):
        options = mount.get("options", [])
        top = place_in(root, mount.get("destination", "/")) or ""
        if not _is_above(top, place) or "remount" in options:
            continue
        rest = os.path.relpath(place, top)
        if {"bind", "rbind"} & {*options} or mount.get("type") == "bind":
            source = os.path.join(asked.folder, mount.get("source", ""))
            state, why = _file_of_bind(source, "" if rest == "." else rest)
        elif rest != "." and mount.get("type") in EMPTY and "tmpcopyup" not in options:
            state, why = MISSING, ""
        else:
            state, why = UNKNOWN, ""
        if state == UNKNOWN and in_rootfs[0] == THERE:
            return in_rootfs  # the mount may have it, too
        if state == MISSING and in_rootfs[0] == THERE:
            return HIDDEN, f"mounts[{index}] at {mount.get('destination')} hides {place}"
        return state, why
    return in_rootfs


def _is_above(top: str, place: str) -> bool:
    return bool(top) and (place + "/").startswith(top.rstrip("/") + "/")


def _file_of_bind(source: str, rest: str) -> tuple[int, str]:
    """The file ``rest`` of what a bind mount brings. A link in it leads to somewhere else in the container."""
    walked = source
    for part in [each for each in rest.split("/") if each]:
        walked = os.path.join(walked, part)
        if os.path.islink(walked):
            return UNKNOWN, ""
    return _file(walked) if os.path.isdir(source) or not rest and os.path.exists(source) else (UNKNOWN, "")


def _file(place: str) -> tuple[int, str]:
    try:
        mode = os.stat(place).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return MISSING, ""
    except OSError:
        return UNKNOWN, ""
    return (THERE, "") if stat.S_ISREG(mode) and mode & 0o111 else (NO_PROGRAM, place + NOT_EXECUTABLE)


def _hooks(asked: "Asked") -> "Iterator[Finding]":
    """Hooks are programs of the host, those of startContainer programs of the container. Of one of poststop create only
    warns.
    """
    for point, hooks in asked.document.get("hooks", {}).items():
        for index, hook in enumerate(hooks):
            path, at = hook.get("path", ""), f"hooks.{point}[{index}].path"
            if point != "startContainer" and which(path) is None:
                yield (note if point == "poststop" else fault)(f"{at}: {path}{NOT_EXECUTABLE}")
            elif point == "startContainer" and os.path.isdir(asked.root):
                state, why = state_of(asked, path)
                if state > UNKNOWN:
                    yield fault(
                        f"{at}: {why or f'the rootfs has no {path}, and no mount brings it'}",
                        "hooks of startContainer are programs of the container",
                    )


def _sizes(asked: "Asked") -> "Iterator[Finding]":
    """The kernel limits each argument and variable, execve(2)."""
    for name in ("args", "env"):
        for index, text in enumerate(asked.process.get(name, [])):
            size = len(os.fsencode(text))
            if size >= MOST_BYTES:
                yield fault(
                    f"process.{name}[{index}]: found {size} bytes, and the kernel takes at most {MOST_BYTES - 1}",
                    "shorten it",
                )


CHECKS = (_program, _hooks, _sizes)
