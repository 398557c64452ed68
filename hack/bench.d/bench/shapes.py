"""How many programs the configs recorded from engines need, and why: the table of docs/performance.md.

A *request* is what remains of a config without order that has no meaning (keys, options of mounts and capabilities are
sorted) and without the values of slots. Two configs with one request ask for the same, so they should need one program.
The order of mounts has a meaning ("The runtime MUST mount entries in the listed order", config.md, Mounts); the table
also counts how many requests remain if it is ignored.

    hack/bench --shapes [DIR]      DIR has config.json files named ENGINE-NUMBER.json
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from . import TREE
from .report import WIDTH

if TYPE_CHECKING:
    from ocirt.model.config import Config
    from ocirt.model.host import Host
    from ocirt.model.shape import Shape
    from ocirt.plan.encode import Encoded
    from ocirt.plan.entries import Entry

Tables: TypeAlias = tuple[bytes, ...]
"""The result of :func:`without_values` for a program."""
Asked: TypeAlias = tuple[str, Tables]
"""A request: the words of create, and its program without values."""

RECORDED = Path("/work/shared/configs")
DOCS = TREE / "docs/performance.md"
BUILD = "0" * 32
BEGIN, END = "<!-- shapes: written by hack/bench --shapes -->\n", "<!-- end of shapes -->\n"


class Kept:
    """A kept program, and the files that are bound to it.

    :ivar request: what its config asks for, see the docstring of this module.
    :ivar unordered: the same, ignoring the order of mounts.
    """

    __slots__ = ("entry", "request", "unordered", "files", "reason")

    def __init__(self, entry: Entry, request: Asked, unordered: Asked, file: str, reason: str) -> None:
        self.entry, self.request, self.unordered, self.files, self.reason = entry, request, unordered, [file], reason


def count(files: Iterable[tuple[str, bytes]]) -> tuple[list[Kept], list[tuple[str, str]]]:
    """Look each config up as create would, in the given order, and keep a program if none fits.

    :param files: pairs of name and bytes.
    :returns: the list of :class:`Kept`, and pairs of name and error for configs that are refused.
    """
    from ocirt.errors import OcirtError
    from ocirt.model.json import parse as parse_json
    from ocirt.model.shape import Shape
    from ocirt.plan import cache, entries
    from tests.unit.plans import host

    kept: list[Kept] = []
    refused: list[tuple[str, str]] = []
    for name, data in files:
        rootless = "rootless" in name
        machine = host(in_user_namespace=rootless)
        bound = {
            "id": name,
            "bundle": f"/bundles/{name}",
            "root": "/run/ocirt",
            "pid-file": f"/run/{name}.pid",
        }
        if (json.loads(data).get("process") or {}).get("terminal"):
            bound["console-socket"] = f"/run/{name}.sock"
        # `rootless` stands for what the host is observed to be.
        key = {"verb": "create", **({"rootless": "auto"} if rootless else {})}
        request, members = entries.request_of(key, bound)
        shape = Shape(parse_json(data)[0], request=members)
        words = {**key, **bound}
        found = next(
            (
                each
                for each in kept
                if each.entry.structure.encode() == shape.structure
                and each.entry.key == request
                and entries.difference(each.entry, shape, machine) is None
            ),
            None,
        )
        if found:
            found.files.append(name)
            continue
        try:
            config, program = _compiled(data, words, machine)
            asked, unordered = [
                (
                    request,
                    without_values(
                        _compiled(
                            json.dumps(in_order(json.loads(data), mounts)).encode(),
                            words,
                            host(in_user_namespace=rootless),
                        )[1].template
                    ),
                )
                for mounts in (False, True)
            ]
        except OcirtError as error:
            refused.append((name, str(error)))
            continue
        machine.observed.clear()
        entry = entries.Entry(
            cache._entry(request, cache._Sources(config, None, members), config, machine, program, BUILD)
        )
        reason = _reason(kept, entry, shape, machine, request)
        kept.append(Kept(entry, asked, unordered, name, reason))
    return kept, refused


def _compiled(data: bytes, words: Mapping[str, str], machine: Host) -> tuple[Config, Encoded]:
    from ocirt.compile import compile
    from ocirt.model.config import parse
    from ocirt.model.request import Request
    from ocirt.plan.encode import encoded

    config = parse(data)
    return config, encoded(compile(config, Request(words), machine), BUILD)


def without_values(template: bytes) -> Tables:
    """The tables of a program's template, without the slots and sizes that show which values it was compiled from."""
    from ocirt.plan.encode import HEADER_TABLES

    head = 16 + len(BUILD)
    places = [
        [int.from_bytes(template[at + part : at + part + 4], "little") for part in (0, 4)]
        for at in range(head, head + 8 * len(HEADER_TABLES), 8)
    ]
    tables = [
        template[offset:] if name == "data" else template[offset : offset + size]
        for name, (offset, size) in zip(HEADER_TABLES, places)
        if name != "slots"
    ]
    return tuple(map(bytes, tables))


def in_order(members: dict[str, Any], mounts: bool = False) -> dict[str, Any]:
    """A copy of a config with everything sorted whose order has no meaning, and ``mounts`` (by destination) if asked
    for.
    """
    copy: dict[str, Any] = _sorted_keys(deepcopy(members))
    if mounts:
        copy["mounts"] = sorted(copy.get("mounts") or [], key=lambda mount: mount["destination"])
    for mount in copy.get("mounts") or []:
        mount["options"] = sorted(mount.get("options") or [])
    for kinds in [(copy.get("process") or {}).get("capabilities") or {}]:
        for kind in kinds:
            kinds[kind] = sorted(kinds[kind])
    return copy


def _sorted_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted_keys(value[key]) for key in sorted(value)}
    return [_sorted_keys(each) for each in value] if isinstance(value, list) else value


def _reason(kept: Sequence[Kept], entry: Entry, shape: Shape, machine: Host, request: str) -> str:
    """The first thing in a config for which the nearest kept program was not compiled."""
    from ocirt.model.shape import AT_REQUEST
    from ocirt.plan import entries

    words = entries.words_of(request, [path for path in shape.leaves if path.startswith(AT_REQUEST)])
    best = None
    for each in kept:
        if each.entry.structure == entry.structure:
            wrong = entries.difference(each.entry, shape, machine) or entries.other_request(each.entry, words)
            found = 0, wrong
        else:
            found = entries.other_structure(each.entry, shape)
        if best is None or found[0] < best[0][0]:
            best = found, each.files[0]
    return f"beside {best[1]}: {best[0][1]}" if best else "the first"


def table(kept: Sequence[Kept], refused: Sequence[tuple[str, str]]) -> str:
    engines: dict[str, tuple[set[str], set[int], set[Asked], set[Asked]]] = {}
    for each in kept:
        for name in each.files:
            engine = name.rpartition("-")[0]
            files, programs, requests, unordered = engines.setdefault(engine, (set(), set(), set(), set()))
            files.add(name)
            programs.add(id(each))
            requests.add(each.request)
            unordered.add(each.unordered)
    total = sum(len(each.files) for each in kept)
    different, without_order = len({each.request for each in kept}), len({each.unordered for each in kept})
    lines = [
        textwrap.fill(
            f"{total} configs are {different} different requests and need {len(kept)} programs. Without regard to the order "
            f"of mounts, which has a meaning in a config, they would be {without_order} requests.",
            WIDTH,
        ),
        "",
        "| engine | configs | programs | requests | mounts in any order |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {engine} | {' | '.join([str(len(each)) for each in counted])} |" for engine, counted in engines.items()
    ]
    lines += ["", "| first config | bound to its program | why it is another program |", "|---|---|---|"]
    first: dict[Asked, Kept] = {}
    for each in kept:
        same = first.setdefault(each.unordered, each)
        reason = f"the request of {same.files[0]}, its mounts in another order"
        reason = each.reason.replace("|", "\\|") if same is each else reason
        lines.append(f"| {each.files[0]} | {', '.join(each.files[1:]) or '-'} | {reason} |")
    if refused:
        lines += ["", "Refused: " + "; ".join([f"{name}: {error}" for name, error in refused]) + "."]
    return "\n".join(lines) + "\n"


def main(*words: str) -> int:
    folder = Path(words[0]) if words else RECORDED
    kept, refused = count([(path.stem, path.read_bytes()) for path in sorted(folder.glob("*.json"))])
    text = table(kept, refused)
    if not words and DOCS.exists():
        before, _, rest = DOCS.read_text().partition(BEGIN)
        DOCS.write_text(before + BEGIN + text + END + rest.partition(END)[2])
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
