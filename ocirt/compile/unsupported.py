"""What config.json may ask for and this build does not apply: refused, because ignoring it would be worse.

An empty string, object or array asks for nothing. A row leaves this table with the step that applies it.
"""

from ..errors import ConfigError
from ..model.text import Text, quote

EXPECTED = "nothing: this build does not apply it"

PROCESS = ("apparmorProfile", "selinuxLabel", "scheduler", "ioPriority", "execCPUAffinity")
LINUX = ("mountLabel", "personality")
MOUNT = ("uidMappings", "gidMappings")
MOUNT_OPTIONS = ("idmap", "ridmap")
MOUNT_OPTION_PREFIXES = ("idmap=", "ridmap=")
"""crun's form, which holds the mapping."""


def find(config):
    """What the config asks for in vain: pairs of JSON path and value."""
    found = []
    for view, names in ((config.process, PROCESS), (config.linux, LINUX), *[(mount, MOUNT) for mount in config.mounts]):
        for name in names:
            value = view.value.get(name)
            if isinstance(value, str):
                value = None if Text(value, view.at(name), view.trace).is_empty() else value
            if value is not None and value != {} and value != []:
                found.append((view.at(name), value))
    return found


def check(config):
    """Refuse what the config asks for in vain.

    :raises ConfigError: it does.
    """
    for path, value in find(config):
        raise ConfigError(path, quote(value), EXPECTED)
