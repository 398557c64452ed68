"""Places in a JSON document, by the paths that errors name: ``linux.sysctl["net.core.somaxconn"]``."""

import json

from ..model.json import member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from ..model.json import Json

    Part: TypeAlias = str | int
    """A key or an index."""


def split(path: str) -> "list[Part] | None":
    """The keys and indices that lead to ``path``; ``None`` if it is not a JSON path (a flag, ``$id``)."""
    parts: list[Part] = []
    rest = path
    while rest:
        if rest.startswith("["):
            end = rest.find("]")
            if rest[1:end].isdigit():
                parts.append(int(rest[1:end]))
            else:
                try:
                    key, end = json.JSONDecoder().raw_decode(rest, 1)
                except ValueError:
                    return None
                parts.append(key)
            rest = rest[end + 1 :]
            continue
        name = rest.removeprefix(".") if parts else rest
        length = min([name.find(sign) % (len(name) + 1) for sign in ".["])
        if not name[:length].isidentifier():
            return None
        parts.append(name[:length])
        rest = name[length:]
    return parts


def join(parts: "Iterable[Part]") -> str:
    """The path that ``parts`` lead to."""
    path = ""
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else member(path, part)
    return path


def order(document: "Json", path: str) -> list[int]:
    """A key that sorts paths by their place in ``document``; a missing member sorts after the others of its object."""
    key: list[int] = []
    holder = document
    for part in split(path) or ():
        if isinstance(holder, dict):
            key.append(list(holder).index(part) if part in holder else len(holder))
            holder = holder.get(part)
        elif isinstance(holder, list) and isinstance(part, int):
            key.append(part)
            holder = holder[part] if part < len(holder) else None
        else:
            break
    return key
