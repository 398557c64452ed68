"""Failures that are no fault of the runtime: known.toml, and the proofs of it, which are run beside the programs.

What fails as the file says, with a proof that holds, is `known`. Everything else that differs from the file, in either
direction, is a failure of the run.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import cells, run
from .build import Suite

FILE = Path(__file__).with_name("known.toml")
CAUSES = ("host", "program")
KINDS = ("v1", "v2")
"""Kinds of hosts, as :func:`cells.kind` tells them."""
PROOF_LIMIT = 60 * cells.SLOWNESS
"""Seconds a proof may take."""
PRELUDE = 'set -eu\nnot() { if "$@"; then return 1; fi; }\n'


@dataclass(frozen=True)
class Known:
    """An entry of the file: a program, the failures in it, each as :meth:`run.Result.failures` gives it, and why.

    :ivar cause: ``"host"``: no runtime can pass it here; ``"program"``: it is the program that is wrong.
    :ivar proof: a shell script whose exit status is 0 as long as that is so.
    :ivar where: the kind of hosts that it is about; empty: any.
    """

    program: str
    failures: tuple[str, ...]
    cause: str
    why: str
    proof: str
    where: str = ""


@dataclass(frozen=True)
class LeftOut:
    """Programs that are not run on hosts of the kind ``where``, as they could say nothing of a runtime there, and why."""

    programs: tuple[str, ...]
    where: str
    why: str
    proof: str


@dataclass(frozen=True)
class File:
    """The file: its ``entries``, how many tests each program skips because its config does not ask for what they
    look at (programs that are not listed skip none), and what is ``left_out``."""

    entries: tuple[Known, ...]
    skips: dict[str, int]
    left_out: tuple[LeftOut, ...] = ()

    def of(self, program: str) -> list[Known]:
        return [entry for entry in self.entries if entry.program == program]

    def at(self, kind: str) -> File:
        """What of the file holds on hosts of this kind."""
        return File(
            tuple(entry for entry in self.entries if entry.where in ("", kind)),
            self.skips,
            tuple(entry for entry in self.left_out if entry.where == kind),
        )

    def reason(self, program: str) -> LeftOut | None:
        """The :class:`LeftOut` that has ``program``, or ``None``."""
        return next((entry for entry in self.left_out if program in entry.programs), None)


@dataclass
class Verdict:
    """What is made of a :class:`run.Result`.

    :ivar outcome: ``"ok"``, ``"known"``, ``"left out"`` (it was not run) or ``"not ok"``.
    :ivar differences: sentences on what is not as the file says.
    """

    outcome: str
    differences: list[str] = field(default_factory=list)


def load(file: Path | str = FILE) -> File:
    """Read the file.

    :raises ValueError: an entry is not whole, names a cause or a kind that is none, or a failure a second time.
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
    return File(tuple(entries), document.get("skips", {}), tuple(left_out))


def _check_kind(place: str, found: str, expected: Sequence[str]) -> None:
    if found not in expected:
        raise ValueError(f"{place}: found {found!r}, expected one of {', '.join(KINDS)}")


def judge(result: run.Result, file: File, held: Mapping[Known | LeftOut, bool], strict: bool = True) -> Verdict:
    """The :class:`Verdict` on ``result``.

    :param held: entry -> does its proof hold? Entries that are not in it explain nothing.
    :param strict: must all be as the file says? Without, what the file does not explain is just ``"not ok"``: for
        runtimes that the file is not written for.
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
    # A skip is no pass, and neither is silence.
    return Verdict("known" if found else "ok" if result.count("ok") else "not ok", differences)


def prove(suite: Suite, runtime: run.Runtime, name: str, entry: Known | LeftOut) -> bool:
    """Does the proof of ``entry``, of a program ``name``, hold? It runs in a cell, with the runtime."""
    status, _, _ = run.in_cell(suite, f"proof-{name}", PRELUDE + entry.proof, runtime, PROOF_LIMIT)
    return status == 0


def judge_left_out(entry: LeftOut, held: bool) -> Verdict:
    """The :class:`Verdict` on a program that was not run because of ``entry``, whose proof ``held`` or not."""
    return Verdict("left out") if held else Verdict("not ok", [f"the proof does not hold: left out: {entry.why}"])
