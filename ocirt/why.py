"""Why a container's first process, or a further one, has ended: what is known, as one sentence and as data.

Nothing is recorded for this but the wait status, by the process that waits for the container anyway (the foreground verbs
and the library's supervisors keep it in the journal), and the error of a ``start`` that failed. The rest is what the
container's cgroups still count when somebody asks. So it costs a container nothing, and what nobody has seen is said to be
unknown: docs/architecture.md, "Why a container ended".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from signal import SIGKILL, SIGSYS, Signals
from typing import Any, Literal

Kind = Literal["exit", "signal", "oom", "seccomp", "output", "timeout", "failure", "unknown"]


@dataclass(frozen=True, slots=True)
class Why:
    """Why a process has ended. ``str()`` is the sentence.

    :ivar kind: ``exit``: by itself; ``signal``; ``oom``: the kernel killed it because memory ran out; ``seccomp``: it made a
        system call that its profile forbids; ``output``: it wrote more than allowed; ``timeout``: it ran longer than allowed; ``failure``: the runtime could not start
        it; ``unknown``: nobody has recorded it.
    :ivar text: the sentence, for a person.
    :ivar exit_code: ``None`` if a signal has ended it, or if that is not known.
    :ivar signal: the number of the signal, or 0.
    :ivar oom_kills: how many processes of the container the kernel has killed because memory ran out.
    :ivar memory_limit: bytes; 0 if it has no limit or nobody knows it. The same holds for the following.
    :ivar memory_peak: bytes.
    :ivar pids_refused: how often the limit of processes has refused a new one, if the program has not succeeded.
    :ivar pids_limit: that limit.
    :ivar disk_limit: the bytes that programs may write, if they have written so many.
    :ivar system_call: the system call that the kernel's log names.
    :ivar sender: what has sent the signal, if the runtime or the library did: ``"ocirt kill"``, which
        ``Container.kill`` runs, or ``"this process"``.
    """

    kind: Kind
    text: str
    exit_code: int | None = None
    signal: int = 0
    oom_kills: int = 0
    memory_limit: int = 0
    memory_peak: int = 0
    pids_refused: int = 0
    pids_limit: int = 0
    disk_limit: int = 0
    system_call: str = ""
    sender: str = ""

    def __str__(self) -> str:
        return self.text

    def to_json(self) -> dict[str, Any]:
        """What is known, by name; unknown members are left out."""
        return {name: value for name, value in asdict(self).items() if value or (name == "exit_code" and value == 0)}


def signal_name(number: int) -> str:
    try:
        return f"signal {number} ({Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def explain(
    exit_code: int | None,
    signal: int = 0,
    *,
    oom_kills: int = 0,
    memory_limit: int = 0,
    memory_peak: int = 0,
    pids_refused: int = 0,
    pids_limit: int = 0,
    disk_limit: int = 0,
    system_call: str = "",
    failure: str = "",
    truncated: bool = False,
    sender: str = "",
) -> Why:
    """Put together what is known. ``failure`` is the runtime's error, ``truncated`` says that too much output was the
    reason for SIGKILL; the others are those of :class:`Why`.
    """
    kind, parts = _first(exit_code, signal, oom_kills, system_call, failure, truncated, sender)
    memory = [f"limit {memory_limit} bytes"] * bool(memory_limit) + [f"peak {memory_peak} bytes"] * bool(memory_peak)
    if kind == "oom":
        parts += f" ({', '.join(memory)})" * bool(memory)
    elif oom_kills:
        what = "a process" if oom_kills == 1 else f"{oom_kills} processes"
        parts += f"; the kernel has killed {what} of the container because memory ran out"
        parts += f" ({', '.join(memory)})" * bool(memory)
    if pids_refused:
        often = "once" if pids_refused == 1 else f"{pids_refused} times"
        parts += f"; the limit of processes{f' ({pids_limit})' * bool(pids_limit)} has refused a new one {often}"
    parts += f"; its disk is full (limit {disk_limit} bytes)" * bool(disk_limit)
    return Why(
        kind,
        parts,
        exit_code,
        signal,
        oom_kills,
        memory_limit,
        memory_peak,
        pids_refused,
        pids_limit,
        disk_limit,
        system_call,
        sender if kind == "signal" else "",
    )


def out_of_time(seconds: float) -> Why:
    """Why something has been killed after its time-out."""
    return Why("timeout", f"time-out: it had not ended after {seconds:g} s, and was killed", None, SIGKILL)


def _first(
    exit_code: int | None, signal: int, oom_kills: int, system_call: str, failure: str, truncated: bool, sender: str
) -> tuple[Kind, str]:
    if failure:
        return "failure", f"the runtime could not start the program: {failure}"
    if truncated:
        return "output", "it wrote more output than allowed, and was killed"
    if signal == SIGSYS:
        return "seccomp", f"seccomp: it made a system call that its profile forbids: {system_call or 'not known which'}"
    if signal == SIGKILL and oom_kills:
        return "oom", "out of memory: the kernel killed it"
    if signal:
        return "signal", f"{signal_name(signal)}, {f'sent by {sender}' if sender else 'whose sender is not recorded'}"
    if exit_code is not None:
        return "exit", f"exit status {exit_code}"
    return "unknown", "its exit status is not known: another process has collected it"
