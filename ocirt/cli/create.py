"""create and run, from the bytes of config.json to the program that the executable runs.

Every create that misses the cache imports this module: see tests/unit/test_import_budget.py.
"""

import posix

from ..errors import OcirtError, reason, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Never

    from ..model.config import Config
    from ..model.request import Words
    from ..plan.filters import Filters

MFD_NOEXEC_SEAL = 8


def compile_and_give(words: "Words") -> int:
    """Compile the bundle, give the executable the program, and keep it.

    :param words: the request's words (:func:`ocirt.boot.read_request`): ``input`` and ``output`` are descriptors, the
        rest is the request (:class:`ocirt.model.request.Request`).
    :returns: the exit status.
    :raises OcirtError: the bundle cannot be compiled.
    """
    compile_program(read_all(words["input"]), words)
    return 0


def compile_program(data: bytes, words: "Words") -> bytes:
    """The program for the config with the bytes ``data``, for the request ``words``. If the executable waits for it
    (``output``), it gets the program before that is kept.

    :raises OcirtError: the config, the request or the host do not allow it.
    """
    begin = recorder(words)
    begin("import")
    from .._build import BUILD_ID
    from ..compile import compile
    from ..model.config import parse
    from ..model.host import Host
    from ..model.request import Request
    from ..plan.encode import encoded

    host = Host()
    host.check_kernel()
    begin("parse")
    config = parse(data)
    filters = filters_of(config, words, BUILD_ID)
    begin("compile")
    plan = compile(config, Request(words), host, filters)
    begin("encode")
    found = encoded(plan, BUILD_ID)
    if words.get("debug") == "1":
        from ..log import Log

        Log.of(words).debug(f"compiled {sum(map(len, plan.sections.values()))} steps to {len(found.data)} bytes")
    give(found.data, words)
    begin("keep")
    if "cache" in words:
        from ..plan.cache import keep

        is_kept = keep(words["cache"], words["cache-key"], words["cache-request"], config, host, found, BUILD_ID)
        if filters:
            filters.keep()
        if is_kept and "output" in words:
            from .ahead import compile_ahead

            begin("ahead")
            compile_ahead(config, words, host, filters, BUILD_ID)
    begin("")
    return found.data


def recorder(words: "Words") -> "Callable[[str], None]":
    """What begins a span of this process in the record of ``--trace``; without a record it does nothing."""
    if "traced" not in words:
        return _nothing
    from .record import Recorder

    return Recorder(words["trace"], words["traced"]).begin


def _nothing(name: str) -> None:
    pass


def give(program: bytes, words: "Words") -> None:
    """Write the program to the pipe on which the executable waits, if it does. The pipe stays open: by its end the
    executable learns that the program has been kept.
    """
    rest = memoryview(program)
    while "output" in words and rest:
        rest = rest[posix.write(words["output"], rest) :]


def filters_of(config: "Config", words: "Words", build: str) -> "Filters | None":
    """The :class:`~ocirt.plan.filters.Filters` in the directory that the launcher names; ``None`` if it names none, or
    the config has no seccomp profile.
    """
    if "cache" not in words or not config.linux.value.get("seccomp"):
        return None
    from ..plan.filters import Filters

    return Filters(words["cache"].rpartition("/")[0], build)


def read_all(fd: int) -> bytes:
    """All bytes of the file ``fd``. The file's offset is shared, so it is neither used nor changed."""
    size = posix.fstat(fd).st_size
    data = posix.pread(fd, size, 0)
    while len(data) < size:  # one read returns at most 2 GiB
        data += posix.pread(fd, size - len(data), len(data))
    return data


def hand_over(program: bytes) -> int:
    """A sealed memfd with the bytes ``program``, which the executable inherits.

    :raises OcirtError: the memfd cannot be made or filled.
    """
    from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl

    try:
        # Since Linux 6.3, if the sysctl vm.memfd_noexec is 2, the caller must say that the memfd is not executable.
        fd = posix.memfd_create("ocirt-program", MFD_NOEXEC_SEAL)
    except OSError:
        try:
            fd = posix.memfd_create("ocirt-program", posix.MFD_ALLOW_SEALING)
        except OSError as error:
            raise OcirtError(f"hand the program over: {refusal('memfd_create', error)}") from None
    rest = memoryview(program)
    try:
        while rest:
            rest = rest[posix.write(fd, rest) :]
    except OSError as error:
        raise OcirtError(
            f"hand the program over in a memfd: {reason(error)} (RLIMIT_FSIZE, or the memory of the cgroup)"
        ) from None
    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
    return fd


def execute(executable: int, words: list[str]) -> "Never":
    """Become the ``executable`` (a descriptor) with the command line ``words``.

    :raises OcirtError: it cannot be executed.
    """
    try:
        posix.execve(executable, words, environment())
    except OSError as error:
        raise OcirtError(f"execute ocirt again: {reason(error)}") from None


def environment() -> "Mapping[bytes, bytes]":
    """The environment that this process was started with, without what Python adds at its start (PEP 538)."""
    if b"LC_CTYPE" not in posix.environ:
        return posix.environ
    fd = posix.open("/proc/self/environ", posix.O_RDONLY | posix.O_CLOEXEC)
    given = b""
    while data := posix.read(fd, 65536):
        given += data
    posix.close(fd)
    _, found, value = (b"\0" + given).partition(b"\0LC_CTYPE=")
    own = {b"LC_CTYPE": value.partition(b"\0")[0]} if found else {}
    return {name: value for name, value in posix.environ.items() if name != b"LC_CTYPE"} | own
