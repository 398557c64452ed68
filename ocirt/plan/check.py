"""Is a plan sound? The processes of a program send each other events and descriptors, in sections that different
modules of the compiler make. So this module simulates a plan, for tests and for ``ocirt plan``.

A plan is sound if every event that a process waits for is sent, in an order without a deadlock; if every event that is
sent is waited for; and if each register that a step reads has been filled in this process, or before this process was
made, and has not been given away. A step that the executor may leave out (because an engine may have set something up,
or because of a source below the rootfs) is simulated as if it ran.
"""

from .steps import (
    EVENTS,
    NONE,
    Bind,
    CloseDescriptors,
    LoadNotifyingSeccomp,
    MakeNode,
    MapLent,
    Receive,
    Release,
    RunWithin,
    Send,
    Spawn,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from . import Plan
    from .steps import Step

ALONE = ("before_start", "after_start", "signal", "pause", "resume", "update", "restore", "delete", "renew")
"""Sections that a process runs alone."""


class Unsound(Exception):
    """What is wrong with a plan, in one sentence."""


def fault_of(plan: "Plan") -> str:
    """What is wrong with the plan; empty if it is sound."""
    try:
        _play(plan, "host")
        for section in ALONE:
            _play(plan, section)
    except Unsound as fault:
        return str(fault)
    return ""


def _play(plan: "Plan", section: str) -> None:
    played = _Played(plan)
    played.start(section, set())
    while played.has_moved:
        played.has_moved = False
        for process in list(played.waiting):
            played.go_on(process)
    if played.waiting:
        raise Unsound(
            ", and ".join(played.waiting.values()) + (", but no process sends that event" * (len(played.waiting) == 1))
        )
    for side, told in played.told.items():
        if told:
            raise Unsound(f"{told[0]} is sent to the {side}, which does not wait for this event")


class _Played:
    """The processes of a program.

    :ivar told: events that have been sent to a side and not yet received, in order.
    :ivar waiting: a process -> what it waits for.
    """

    def __init__(self, plan: "Plan") -> None:
        self.plan, self.has_moved = plan, False
        self.told: dict[str, list[str]] = {"host": [], "child": []}
        self.waiting: dict[Iterator[str], str] = {}

    def start(self, section: str, filled: set[int]) -> None:
        sections = ("init", "exec_program") if section == "init" else (section,)
        self.go_on(self._process("child" if section in ("stage", "init") else "host", sections, filled))

    def go_on(self, process: "Iterator[str]") -> None:
        self.waiting.pop(process, None)
        for waits_for in process:
            self.waiting[process] = waits_for
            return

    def _process(self, side: str, sections: tuple[str, ...], filled: set[int]) -> "Iterator[str]":
        """Simulate sections. Whenever an event has not arrived, yield what the process waits for."""
        for section in sections:
            for number, step in enumerate(self.plan.sections[section]):
                place = f"{section}[{number}] ({type(step).__name__} for {step.at})"
                for waits, event in _messages(step, section):
                    if not waits:
                        self.told["host" if side == "child" else "child"].append(event)
                        self.has_moved = True
                    while waits and not self._take(side, event, place):
                        yield f"{place} waits for {event}"
                self._move(step, place, filled)
                if isinstance(step, (Spawn, RunWithin)):
                    self.start(step.section, set(filled))

    def _take(self, side: str, wanted: str, place: str) -> bool:
        """Has the event arrived? Events that overtake ``spawned`` stay in the queue."""
        told = self.told[side]
        if wanted not in told:
            if told and wanted != "spawned":
                raise Unsound(f"{place} waits for {wanted}, and {told[0]} comes")
            return False
        if told[0] != wanted and wanted != "spawned":
            raise Unsound(f"{place} waits for {wanted}, and {told[0]} comes first")
        told.remove(wanted)
        self.has_moved = True
        return True

    @staticmethod
    def _move(step: "Step", place: str, filled: set[int]) -> None:
        """What the step does to the registers of its process."""
        reads, fills, takes = _registers(step)
        for register in (*reads, *takes):
            if register not in filled:
                raise Unsound(f"{place} reads register {register}, which is empty")
        if isinstance(step, CloseDescriptors):
            filled.intersection_update(reads)
        filled.difference_update(takes)
        filled.update(fills)


def _messages(step: "Step", section: str) -> list[tuple[bool, str]]:
    """The events that the process of a step waits for (True) and sends to the other side (False), in order."""
    if isinstance(step, (Send, Receive)):
        return [(isinstance(step, Receive), EVENTS[step.event])]
    if isinstance(step, MapLent):
        return [(True, "lent"), (False, "handed")]
    if isinstance(step, Bind) and step.lend:
        return [(False, "lent"), (True, "handed")]
    if isinstance(step, Spawn) and section == "stage":
        return [(False, "spawned")]
    if isinstance(step, Release):
        return [(False, "committed")]
    return [(False, "ready")] if isinstance(step, LoadNotifyingSeccomp) and step.ready else []


def _registers(step: "Step") -> tuple[list[int], list[int], list[int]]:
    """The registers that a step reads, that it fills, and that it empties."""
    if isinstance(step, (Send, Receive)):
        passed = list(range(step.first, step.first + step.count))
        return ([], passed, []) if isinstance(step, Receive) else (passed, [], passed)
    found: dict[str, list[int]] = {"fd": [], "fills": [], "takes": []}
    for name, kind in step.fields.items():
        if kind in found and getattr(step, name) != NONE:
            found[_kind(step, name, kind)].append(getattr(step, name))
    return found["fd"], found["fills"], found["takes"]


def _kind(step: "Step", name: str, kind: str) -> str:
    """The kind of the field: without ``bind``, MakeNode fills the register that it otherwise reads."""
    if isinstance(step, MakeNode) and name == "outside" and not step.bind:
        return "fills"
    return kind
