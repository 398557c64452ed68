"""All errors, and the classes of those that Python raises while it decides. ``str()`` of an error is one line for a
person.

OcirtError                  attributes phase, path, errno: None if unknown
 ├── ConfigError            config.json or its root file system is wrong or missing: names the JSON path, what was
 │                          found, what was expected
 ├── RequestError           an argument of the command line, or of a call, is wrong
 ├── HostError              the host lacks something that the bundle asks for
 ├── StateError             the state directory of a container cannot be read, or its state forbids the verb
 │    ├── NoContainer       the container does not exist
 │    ├── ContainerExists * a container with that id exists
 │    └── WrongState *      the container's state forbids the verb: to start a container that runs, for example
 ├── StepError *            a step failed while the container was made, started, changed or deleted
 │    └── ProgramError *    the program of the container, or of an exec, does not exist or cannot be executed
 ├── ImageError *           an image or a layer is broken, or the content store cannot be read or written
 │    └── NoImage *         the store, or the registry, does not have the image
 ├── InstallationError *    the executable does not exist, cannot be started, or is of another build
 ├── FileError *            a file of a sandbox cannot be read or written (file: its path)
 ├── TimeoutExpired *       also a TimeoutError: the time was up (stdout, stderr: the output until then)
 └── CommandFailed *        run(check=True): the command has not ended with 0 (result)

The classes with a star are in :mod:`ocirt.failures` (CommandFailed, which carries the result, is in
:mod:`ocirt.result`): only the library raises them, and a create that compiles should not load them. All are names of
the package: ``ocirt.ConfigError``.

:ivar phase: where it failed: ``request`` (an argument), ``compile`` (deciding what to do), ``state``, ``image``, or a
    section of the program (docs/architecture.md, "Sections of a program"): ``host``, ``init``, ``exec_program``,
    ``delete``...
:ivar path: the JSON path in config.json, or the flag, that asked for what failed: ``mounts[3].source``.
:ivar errno: the kernel's error number, as in :mod:`errno`.
:ivar hint: what to do about the error: one line for a person at a terminal, in addition to the error's own line.
"""


class OcirtError(Exception):
    """The base of all errors of ocirt. ``str()`` of an error is one line."""

    phase: str | None = None
    path: str | None = None
    errno: int | None = None
    hint: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel between processes. pickle could not restore those whose arguments are not their text.
        return made_anew, (type(self), str(self)), self.__dict__


def made_anew(kind: type[OcirtError], message: str, /, **members: object) -> OcirtError:
    """An error of this ``kind`` with this text and these attributes, made without its own ``__init__``."""
    error = kind.__new__(kind)
    error.args = (message,)
    error.__dict__.update(members)
    return error


class ConfigError(OcirtError):
    """config.json has a value that cannot be applied.

    :param path: JSON path, like ``mounts[3].type``; empty for the whole document, ``config.json`` if the file is
        missing; ``$pid-file`` and similar for a word of the command line.
    :param found: what config.json has there, as a person would write it.
    :param expected: what it may have there.
    """

    phase = "compile"
    path: str
    found: str
    expected: str

    def __init__(self, path: str, found: str, expected: str) -> None:
        self.path, self.found, self.expected = path, found, expected
        place = f"config.json: {path}" if path else "config.json"
        if path.startswith("$"):
            place = "container id" if path == "$id" else f"--{path[1:]}"
        super().__init__(f"{place}: found {found}, expected {expected}")


class RequestError(OcirtError):
    """A flag or argument of the command line, or an argument of a call, cannot be used. ``path`` names it, if exactly
    one is wrong.
    """

    phase = "request"

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        if path is not None:
            self.path = path


class HostError(OcirtError):
    """The host cannot do what the bundle asks for. ``path`` is the JSON path or flag that asks for it, empty if every
    bundle does.
    """

    phase = "compile"
    path: str
    message: str

    def __init__(self, path: str, message: str) -> None:
        self.path, self.message = path, message
        super().__init__(f"{path}: {message}" if path else message)


class StateError(OcirtError):
    """The state directory of a container cannot be read. ``id`` is the container's."""

    phase = "state"
    id: str

    def __init__(self, id: str, message: str) -> None:
        self.id = id
        super().__init__(f"container {id}: {message}")


class NoContainer(StateError):
    """The container ``id`` does not exist; the text is the executable's."""

    def __init__(self, id: str) -> None:
        self.id = id
        OcirtError.__init__(self, f"container does not exist: {id}")


def refusal(call: str, error: OSError) -> str:
    """The text for the OSError ``error`` of the system call ``call``, with a possible cause if the kernel has that
    call.
    """
    from errno import ENOSYS, EPERM  # making this module takes longer than making this one

    behind = " (a seccomp filter around the runtime may be the cause)" if error.errno in (EPERM, ENOSYS) else ""
    return f"{call}: {reason(error)}{behind}"


def reason(error: OSError) -> str:
    """The text of the OSError ``error`` as Go and the executable write it: ``no such file or directory``."""
    from posix import strerror

    from .wordings import in_a_sentence, words_of  # a create that succeeds does not load this module

    text = error.strerror or str(error)
    return words_of(error.errno) if error.errno and text == strerror(error.errno) else in_a_sentence(text)
