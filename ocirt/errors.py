"""All errors, and those that the decision-making side raises; ``str()`` of each is one line for a person.

OcirtError                  attributes phase, path, errno: None where there is nothing to know
 ├── ConfigError            config.json is wrong or missing, or its root file system is: names the JSON path, what was
 │                          found, what was expected
 ├── RequestError           an argument is wrong, of the command line or of a call
 ├── HostError              the host lacks something that the bundle asks for
 ├── StateError             the state directory of a container cannot be read, or does not allow it
 │    ├── NoContainer       there is none
 │    ├── ContainerExists * there is one of that id
 │    └── WrongState *      it is in a state that does not allow it: to start one that runs
 ├── StepError *            a step failed while the container was made, started, changed or deleted
 │    └── ProgramError *    the program of the container, or of an exec, is not there or cannot be executed
 ├── InstallationError *    the executable is not there, cannot be started, or is of another build
 ├── TimeoutExpired *       also a TimeoutError: the time was up (stdout, stderr: what came until then)
 └── CommandFailed *        run(check=True): the command has ended, and not with 0 (result)

Those with a star live in :mod:`ocirt.failures`, CommandFailed with the result that it carries in :mod:`ocirt.result`: only the
library raises them, and a create that compiles does not pay for them. All are names of the package: ``ocirt.ConfigError``.

:ivar phase: where it failed: ``request`` (an argument), ``compile`` (deciding what to do), ``state``, or a section of
    the program (docs/architecture.md, "Sections of a program"): ``host``, ``init``, ``exec_program``, ``delete``...
:ivar path: the JSON path in config.json, or the flag, that asked for what failed: ``mounts[3].source``.
:ivar errno: what the kernel answered, as in :mod:`errno`.
:ivar hint: what to do about it: a line for a person at a terminal, which the error's own line does not say.
"""

from errno import ENOSYS, EPERM


class OcirtError(Exception):
    """Base of all errors of ocirt. ``str()`` of it is one line."""

    phase: str | None = None
    path: str | None = None
    errno: int | None = None
    hint: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel between processes; those whose arguments are not their text could not be made anew.
        return made_anew, (type(self), str(self)), self.__dict__


def made_anew(kind: type[OcirtError], message: str, /, **members: object) -> OcirtError:
    """An error of this ``kind`` with this text and these attributes, without its own ``__init__``."""
    error = kind.__new__(kind)
    error.args = (message,)
    error.__dict__.update(members)
    return error


class ConfigError(OcirtError):
    """config.json holds something that cannot be applied.

    :param path: JSON path, as ``mounts[3].type``; empty for the whole document, ``config.json`` where there is none;
        ``$pid-file`` and its like for a word of the command line.
    :param found: what stands there, as a person would write it.
    :param expected: what may stand there.
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
    """A flag or argument of the command line, or an argument of a call, cannot be used. ``path`` names it, where one alone is
    wrong."""

    phase = "request"

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        if path is not None:
            self.path = path


class HostError(OcirtError):
    """The host cannot do what the bundle asks for. ``path`` is the JSON path or flag that asked."""

    phase = "compile"
    path: str
    message: str

    def __init__(self, path: str, message: str) -> None:
        self.path, self.message = path, message
        super().__init__(f"{path}: {message}")


class StateError(OcirtError):
    """The state directory of a container cannot be read. ``id`` is the container's."""

    phase = "state"
    id: str

    def __init__(self, id: str, message: str) -> None:
        self.id = id
        super().__init__(f"container {id}: {message}")


class NoContainer(StateError):
    """There is no container ``id``, in the words of the executable."""

    def __init__(self, id: str) -> None:
        self.id = id
        OcirtError.__init__(self, f"container does not exist: {id}")


def refusal(call: str, error: OSError) -> str:
    """What the OSError ``error`` of the system call ``call`` says, and what may be behind it where the kernel has that call."""
    behind = " (a seccomp filter around the runtime may be what refuses it)" if error.errno in (EPERM, ENOSYS) else ""
    return f"{call}: {reason(error)}{behind}"


def reason(error: OSError) -> str:
    """What the OSError ``error`` says, as Go and the executable write it: ``no such file or directory``."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
