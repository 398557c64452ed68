"""exec, from the command line and the container's config.json to the program that the executable runs.

Every exec that misses the cache imports this module: see tests/unit/test_import_budget.py.
"""

import posix

from ..created_with import created_with
from ..errors import ConfigError, OcirtError, RequestError, StateError
from ..model.json import parse as parse_json
from .create import filters_of, give, read_all, recorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.exec import ExecRequest as Asked
    from ..model.request import Words


def compile_and_give(words: "Words") -> int:
    """Compile the process, give the executable the program, and keep it.

    :param words: the request's words (:func:`ocirt.boot.read_request`): ``output`` and ``input`` (of a process file)
        are descriptors, the rest is the request (:class:`ocirt.model.exec.ExecRequest`).
    :returns: the exit status.
    :raises OcirtError: the process cannot be compiled.
    """
    own = read_all(words["input"]) if "input" in words else None
    try:
        created = created_with(words)
    except StateError:
        if not _is_deleted(words):
            raise
        raise OcirtError(f"cannot exec in a stopped container: {words['id']} has just been deleted") from None
    compile_program(words, words.get("command", []), own, *created)
    return 0


def _is_deleted(words: "Words") -> bool:
    """Has the container been deleted since the launcher found it running? Delete removes the journal first."""
    try:
        posix.stat(f"{words['root']}/{words['id']}/journal")
    except FileNotFoundError:
        return True
    return False


def compile_program(
    words: "Words", command: list[str], own: bytes | None, data: bytes, container: "Words", created: str
) -> bytes:
    """The program for a process. The executable gets it before it is kept.

    :param command: the words after the id.
    :param own: the bytes of the process file, ``None`` without a process file.
    :param data: the bytes of config.json.
    :param container: the words of the request that created the container.
    :param created: the same words as state.json has them.
    :raises OcirtError: the container's config, the process, the flags or the host do not allow it.
    """
    begin = recorder(words)
    begin("import")
    from .._build import BUILD_ID
    from ..compile.exec import compile
    from ..model.config import parse
    from ..model.exec import ExecRequest
    from ..model.host import Host
    from ..model.request import Request
    from ..plan.encode import encoded

    begin("parse")
    request = ExecRequest({**words, "bundle": container["bundle"]}, command)
    config = parse(data)
    try:
        members = None if own is None else parse_json(own)[0]
    except ConfigError as error:
        raise RequestError(f"--process {request.process}: {_place(error, error.path)}") from None
    host = Host()
    filters = filters_of(config, words, BUILD_ID)
    begin("compile")
    try:
        plan = compile(config, Request(container), members, request, host, filters)
        begin("encode")
        found = encoded(plan, BUILD_ID)
    except ConfigError as error:
        raise _of_the_command_line(error, request) from None
    give(found.data, words)
    begin("keep")
    # Another container may have got the id since the launcher looked. Then the key does not belong to what was
    # compiled.
    if "cache" in words and words["cache-key"].endswith(f',"created":{created}}}'):
        from ..plan.cache import keep

        keep(words["cache"], words["cache-key"], words["cache-request"], config, host, found, BUILD_ID, members)
        if filters:
            filters.keep()
    begin("")
    return found.data


def _of_the_command_line(error: ConfigError, request: "Asked") -> "OcirtError":
    """The error in terms of its source: a flag (a path that begins with ``$``), the process file, or config.json."""
    if error.path.startswith("$"):
        flag, *_ = error.path[1:].partition("[")
        return RequestError(f"--{flag}: found {error.found}, expected {error.expected}")
    if error.path.startswith("--process"):
        place = error.path.removeprefix("--process").lstrip(".")
        return RequestError(f"--process {request.process}: {_place(error, place)}")
    return error


def _place(error: ConfigError, path: str) -> str:
    place = f"{path}: " if path else ""
    return f"{place}found {error.found}, expected {error.expected}"
