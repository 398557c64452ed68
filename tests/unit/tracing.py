"""What the tests of ``ocirt trace`` share: records of made-up commands."""

import struct

from ocirt.cli.record import HEAD, MAGIC, PART, event
from ocirt.cli.trace.spans import INIT, RUNTIME

BEGIN = 1_796_023_709_000_000_000
PARENT = f"00-{'0af7651916cd43dd8448eb211c80319c'}-{'b7ad6b7169203331'}-01"


def line(thread, kind, name, start, end, text="", path="", phase="X", error=0):
    """An event as the executable writes it; times in microseconds since the beginning."""
    lasts = 0 if end is None else 1000 * (end - start)
    return event(phase, thread, BEGIN + 1000 * start, lasts, kind, name, path, text, error)


def note(name, text, thread=RUNTIME, path=""):
    return line(thread, "note", name, 0, None, text, path, "i")


def part(*events, title="ocirt create c1", pid=77, size=8192, phase="X", error=0):
    """What a command has appended to the record. It has ended, unless its phase is B."""
    data = line(RUNTIME, "command", "title", 0, 0, title, phase=phase, error=error) + b"".join(events)
    head = MAGIC + struct.pack(PART, HEAD + len(data), size, pid)
    return (head + data).ljust(size, b"\0")


def whole(program="/bin/slow", output="done\n", placed="send the event placed", parent=PARENT, more=b""):
    return part(
        line(RUNTIME, "launch", "scan", 0, 100),
        line(RUNTIME, "step", "Spawn", 100, 200, "start the init process"),
        line(RUNTIME, "step", "MakeCgroup", 200, 900, "make cgroup /c", "linux.cgroupsPath"),
        line(RUNTIME, "step", "Send", 900, 910, placed),
        line(RUNTIME, "wait", "Receive", 910, 5000, "wait for the event ready", "create"),
        line(RUNTIME, "step", "Commit", 5000, 5100, "commit the container", "create"),
        line(INIT, "step", "Mount", 180, 400, "mount tmpfs at /a", "mounts[0]"),
        line(INIT, "wait", "Receive", 400, 920, "wait for the event placed"),
        line(INIT, "hook", "RunHook", 920, 4900, f"run hook {program}", "hooks.createContainer[0]"),
        line(INIT, "program", program, 1000, 4800, "", "hooks.createContainer[0]"),
        note("output", output, INIT, program),
        line(INIT, "step", "Send", 4900, 4990, "send the event ready", "create"),
        line(INIT, "wait", "Receive", 4992, None, "wait for the event hooked", phase="B"),
        note("parent", parent),
        more,
    )


WHOLE = whole()
HANGS = (
    line(RUNTIME, "step", "Spawn", 100, 200, "start the init process"),
    line(RUNTIME, "wait", "Receive", 200, None, "wait for the event ready", phase="B"),
    line(INIT, "step", "Mount", 300, 400, "mount tmpfs at /a", "mounts[0]"),
    line(INIT, "step", "Bind", 400, None, "bind /slow at /b", "mounts[1]", phase="B"),
)
LONG = whole(more=b"".join([line(INIT, "step", f"More{i}", 5000, 5001) for i in range(60)]))
HOOK = "hooks.createRuntime[0]: run hook /bin/false: exit status 1: no"


def failed():
    """A create whose hook has failed, while init waits for it."""
    return part(
        line(RUNTIME, "step", "Spawn", 0, 100),
        line(INIT, "wait", "Receive", 150, None, "wait for the event hooked", phase="B"),
        line(RUNTIME, "hook", "RunHook", 200, 900, "run hook /bin/false", "hooks.createRuntime[0]", error=125),
        note("error", HOOK),
        error=125,
    )
