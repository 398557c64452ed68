"""What create has stored about a container. Any build can compile from it what a later verb needs."""

import posix

from .errors import ConfigError, StateError, reason
from .model.json import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model.request import Words


def created_with(words: "Words") -> "tuple[bytes, Words, str]":
    """What the container of ``words`` was created with.

    :param words: the request's words (:func:`ocirt.boot.read_request`), with ``id`` and ``root``.
    :returns: the bytes of config.json; the words of create's request; and these words as state.json has them.
    :raises StateError: state.json or config.json is missing, or state.json is not what create writes.
    """
    id, root = words["id"], words["root"]
    try:
        state, texts = parse(_state(root, id))
        given = {"id": id, "root": root, "bundle": state["bundle"]}
        return _read(root, id, "config.json"), {**state["request"], **given}, texts["request"]
    except (ConfigError, KeyError, TypeError):
        raise StateError(id, "state.json is not what create writes") from None


def _state(root: str, id: str) -> bytes:
    """The content of state.json. If a create was cut off before it wrote one: the text that follows the program in its
    file.
    """
    try:
        return _read(root, id, "state.json")
    except StateError as error:
        try:
            program = _read(root, id, "program")
        except StateError:
            raise error from None
        if len(program) > 16 and (state := program[int.from_bytes(program[12:16], "little") :]):
            return state
        raise


def _read(root: str, id: str, name: str) -> bytes:
    try:
        fd = posix.open(f"{root}/{id}/{name}", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as error:
        raise StateError(id, f"{name}: {reason(error)}") from None
    data = b""
    while part := posix.read(fd, 1 << 20):
        data += part
    posix.close(fd)
    return data
