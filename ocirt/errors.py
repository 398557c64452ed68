"""The errors that the decision-making side raises; each is one line for a person.

OcirtError
 ├── ConfigError   config.json is wrong: names the JSON path, what was found, what was expected
 ├── RequestError  the command line is wrong: names the flag or argument
 ├── HostError     the host lacks something that the bundle asks for
 └── StateError    the state directory of a container cannot be read
      └── NoContainer   there is none
"""


class OcirtError(Exception):
    """Base of all errors of ocirt. ``str()`` of it is one line."""


class ConfigError(OcirtError):
    """config.json holds something that cannot be applied.

    :param path: JSON path, as ``mounts[3].type``; empty for the whole document.
    :param found: what stands there, as a person would write it.
    :param expected: what may stand there.
    """

    def __init__(self, path, found, expected):
        self.path, self.found, self.expected = path, found, expected
        super().__init__(f"config.json: {path}: found {found}, expected {expected}" if path
                         else f"config.json: found {found}, expected {expected}")


class RequestError(OcirtError):
    """A flag or argument of the command line cannot be used."""


class HostError(OcirtError):
    """The host cannot do what the bundle asks for. ``path`` is the JSON path or flag that asked."""

    def __init__(self, path, message):
        self.path, self.message = path, message
        super().__init__(f"{path}: {message}")


class StateError(OcirtError):
    """The state directory of a container cannot be read. ``id`` is the container's."""

    def __init__(self, id, message):
        self.id = id
        super().__init__(f"container {id}: {message}")


class NoContainer(StateError):
    """There is no container ``id``, in the words of the executable."""

    def __init__(self, id):
        self.id = id
        OcirtError.__init__(self, f"container does not exist: {id}")


def reason(error):
    """What the OSError ``error`` says, as Go and the executable write it: ``no such file or directory``."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
