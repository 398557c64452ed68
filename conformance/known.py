"""Failures that are no fault of the runtime: known.toml, and its proofs, which run beside the programs.

A failure that the file explains, with a proof that holds, is `known`. Any other difference from the file, in either
direction, is a failure of the run.
"""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import cells, run
from .build import Suite

FILE = Path(__file__).with_name("known.toml")
CAUSES = ("host", "program")
KINDS = ("v1", "v2")
"""Kinds of hosts, see :func:`cells.kind`."""
PROOF_LIMIT = 60 * cells.SLOWNESS
"""The most seconds for a proof."""
PRELUDE = 'set -eu\nnot() { if "$@"; then return 1; fi; }\n'


@dataclass(frozen=True)
class Known:
    """An entry of the file: a program, its failures in the form of :meth:`run.Result.failures`, and the reason.

    :ivar cause: ``"host"``: no runtime can pass on this host; ``"program"``: the program is wrong.
    :ivar proof: a shell script with exit status 0 as long as the reason holds.
    :ivar where: the kind of hosts that the entry applies to; empty: any.
    """

    program: str
    failures: tuple[str, ...]
    cause: str
    why: str
    proof: str
    where: str = ""


@dataclass(frozen=True)
class LeftOut:
    """Programs that do not run on hosts of the kind ``where``, because their result would not depend on the runtime,
    and the reason.
    """

    programs: tuple[str, ...]
    where: str
    why: str
    proof: str


@dataclass(frozen=True)
class File:
    """The file: its ``entries``; how many tests each program skips because its config does not ask for what they check
    (programs that are not listed skip none); and the programs that are ``left_out``.
    """

    entries: tuple[Known, ...]
    skips: dict[str, int]
    left_out: tuple[LeftOut, ...] = ()

    def of(self, program: str) -> list[Known]:
        return [entry for entry in self.entries if entry.program == program]

    def at(self, kind: str) -> File:
        """The part of the file that applies to hosts of this kind."""
        return File(
            tuple(entry for entry in self.entries if entry.where in ("", kind)),
            self.skips,
            tuple(entry for entry in self.left_out if entry.where == kind),
        )

    def reason(self, program: str) -> LeftOut | None:
        """The :class:`LeftOut` with ``program``, or ``None``."""
        return next((entry for entry in self.left_out if program in entry.programs), None)


@dataclass
class Verdict:
    """The verdict on a :class:`run.Result`.

    :ivar outcome: ``"ok"``, ``"known"``, ``"left out"`` (it cannot test a runtime here), ``"not ok"`` or ``"not run"`` (the
        time had run out).
    :ivar differences: sentences about what differs from the file.
    """

    outcome: str
    differences: list[str] = field(default_factory=list)


def load(file: Path | str = FILE, machine: str = "") -> File:
    """Read the file.

    :param machine: the processor that the programs run on, as uname(2) names it; by default this machine's.
    :raises ValueError: an entry is incomplete, has an unknown cause or kind, or repeats a failure.
    """
    document = tomllib.loads(Path(file).read_text())
    entries: list[Known] = []
    left_out: list[LeftOut] = []
    seen: set[tuple[str, str, str]] = set()
    for index, table in enumerate(document.get("known", [])):
        try:
            entry = Known(**{**table, "failures": tuple(table["failures"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"{file}: known[{index}]: {error}") from None
        if entry.cause not in CAUSES:
            raise ValueError(
                f"{file}: known[{index}].cause: found {entry.cause!r}, expected one of {', '.join(CAUSES)}"
            )
        _check_kind(f"{file}: known[{index}].where", entry.where, ("", *KINDS))
        for kind in [entry.where] if entry.where else KINDS:
            for failure in entry.failures:
                if (entry.program, failure, kind) in seen:
                    raise ValueError(f"{file}: known[{index}]: a second entry for {entry.program}: {failure}")
                seen.add((entry.program, failure, kind))
        entries.append(entry)
    for index, table in enumerate(document.get("left_out", [])):
        try:
            left = LeftOut(**{**table, "programs": tuple(table["programs"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"{file}: left_out[{index}]: {error}") from None
        _check_kind(f"{file}: left_out[{index}].where", left.where, KINDS)
        left_out.append(left)
    fewer = document.get("fewer_skips", {}).get(machine or platform.machine(), 0)
    skips = {program: count - fewer for program, count in document.get("skips", {}).items()}
    return File(tuple(entries), skips | document.get("skips_without_seccomp", {}), tuple(left_out))


def _check_kind(place: str, found: str, expected: Sequence[str]) -> None:
    if found not in expected:
        raise ValueError(f"{place}: found {found!r}, expected one of {', '.join(KINDS)}")


def judge(result: run.Result, file: File, held: Mapping[Known | LeftOut, bool], strict: bool = True) -> Verdict:
    """The :class:`Verdict` on ``result``.

    :param held: entry -> does its proof hold? An entry that is missing here explains nothing.
    :param strict: must everything match the file? If not, a failure that the file does not explain is just ``"not
        ok"``: for runtimes that the file is not written for.
    """
    entries, found = [entry for entry in file.of(result.program) if entry in held], result.failures()
    differences = [
        f"the proof does not hold: {failure}" for entry in entries if not held[entry] for failure in entry.failures
    ]
    explained = [failure for entry in entries for failure in entry.failures]
    new = [failure for failure in found if failure not in explained]
    if strict:
        differences += [
            f"does not fail any more, take it out of known.toml: {failure}"
            for failure in explained
            if failure not in found
        ]
        expected = file.skips.get(result.program, 0)
        if result.count("skip") != expected:
            differences.append(f"{result.count('skip')} tests skipped, {expected} expected")
    if new or (differences and (strict or found)):
        return Verdict("not ok", [*new, *differences])
    # A skip is no pass, and neither is an empty output.
    return Verdict("known" if found else "ok" if result.count("ok") else "not ok", differences)


def prove(suite: Suite, runtime: run.Runtime, name: str, entry: Known | LeftOut) -> bool:
    """Does the proof of ``entry``, of a program ``name``, hold? It runs in a cell, with the runtime."""
    more = run.unhurried(suite, name)
    status, _, _ = run.in_cell(suite, f"proof-{name}", PRELUDE + entry.proof, runtime, PROOF_LIMIT, more)
    return status == 0


def judge_left_out(entry: LeftOut, held: bool) -> Verdict:
    """The :class:`Verdict` on a program that did not run because of ``entry``, depending on whether its proof holds."""
    return Verdict("left out") if held else Verdict("not ok", [f"the proof does not hold: left out: {entry.why}"])
