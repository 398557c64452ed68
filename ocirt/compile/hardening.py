"""The annotations ``org.ocirt.landlock`` and ``org.ocirt.coresched``, which only restrict a container further. The
compiler imports this module only if a config has one of them and the caller allows them.

``org.ocirt.landlock`` has words of the form KIND:VALUE. The kinds ``read``, ``execute`` (which includes read) and
``write`` (which includes read) name a directory of the container; if there is one, everything else is refused. The
kinds ``connect`` and ``bind`` name a TCP port; if there is one, all other ports are refused. Whatever the words say,
abstract unix sockets and signals then stay within the container, if the kernel has that.
"""

from ..errors import ConfigError, HostError
from ..model.json import member
from ..model.text import quote
from ..plan.steps import (
    AllowBeneath,
    AllowPort,
    MakeCoreCookie,
    MakeLandlockRuleset,
    OpenDirectory,
    RestrictByLandlock,
    ShareCoreCookie,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config
    from ..model.host import Host
    from ..model.text import Text
    from ..plan import Plan
    from ..plan.steps import Step

AT, CORES_AT = member("annotations", "org.ocirt.landlock"), member("annotations", "org.ocirt.coresched")
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = (1 << bit for bit in range(13, 16))
"""LANDLOCK_ACCESS_FS_*, linux/landlock.h. REFER is of the second version, TRUNCATE of the third, IOCTL_DEV of the
fifth."""
FIRST_FS = (1 << 13) - 1
FS = {1: FIRST_FS, 2: FIRST_FS | REFER, 3: FIRST_FS | REFER | TRUNCATE, 5: FIRST_FS | REFER | TRUNCATE | IOCTL_DEV}
"""Version of the interface -> the rights that it knows."""
NET_SINCE, SCOPED_SINCE = 4, 6
SCOPED = 1 | 2
"""LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and LANDLOCK_SCOPE_SIGNAL."""
RULE_NET_PORT = 2
READ = READ_FILE | READ_DIR
WRITE = (
    READ
    | (WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM)
    | (REFER | TRUNCATE | IOCTL_DEV)
)
DIRECTORIES = {"read": READ, "execute": READ | EXECUTE, "write": WRITE}
PORTS = {"bind": 1, "connect": 2}
"""LANDLOCK_ACCESS_NET_BIND_TCP and LANDLOCK_ACCESS_NET_CONNECT_TCP."""
EXPECTED = "words like read:/usr, execute:/bin, write:/tmp, connect:443 and bind:8080"


class Hardening:
    """What the two annotations ask for.

    :raises ConfigError: a value has no meaning, or the program could undo the restriction.
    :raises HostError: the kernel has no Landlock, or one that knows no ports.
    """

    def __init__(
        self, rules: "Text | None", cores: "Text | None", config: "Config", host: "Host", plan: "Plan"
    ) -> None:
        self.has_cores = cores is not None
        if cores is not None and cores.read() != "1":
            raise ConfigError(CORES_AT, quote(cores.read()), '"1"')
        self.directories: list[tuple[str, int]] = []
        self.ports: list[tuple[int, int]] = []
        self.version = 0
        if rules is None:
            return
        for word in rules.read().split():
            self._add(word)
        if not config.process.no_new_privileges:
            raise ConfigError("process.noNewPrivileges", "false", f"true, because {AT} needs it")
        self.version = host.landlock
        if not self.version:
            raise HostError(AT, "this kernel has no Landlock (CONFIG_SECURITY_LANDLOCK, and lsm= on its command line)")
        if self.ports and self.version < NET_SINCE:
            raise HostError(AT, "this kernel's Landlock knows no TCP ports (Linux 6.7 does)")
        self.ruleset = plan.register()
        self.opened = [plan.register() for _ in self.directories]

    def _add(self, word: str) -> None:
        kind, _, value = word.partition(":")
        if kind in DIRECTORIES and value.startswith("/"):
            self.directories.append((value, DIRECTORIES[kind]))
        elif kind in PORTS and value.isascii() and value.isdigit() and len(value) < 6 and int(value) < 1 << 16:
            self.ports.append((int(value), PORTS[kind]))
        else:
            raise ConfigError(AT, quote(word), EXPECTED)

    def cores(self) -> "list[Step]":
        """Steps of init: the container gets cores of its own."""
        return [MakeCoreCookie(CORES_AT)] if self.has_cores else []

    def share_cores(self) -> "list[Step]":
        """Steps of the stage of exec: the new process may run beside the container's."""
        return [ShareCoreCookie(CORES_AT)] if self.has_cores else []

    def restrict(self) -> "list[Step]":
        """Steps right before the seccomp filter, which might refuse them, is loaded. What they open is close-on-exec."""
        if not self.version:
            return []
        known = max([rights for version, rights in FS.items() if version <= self.version])
        net = 0
        for _, right in self.ports:
            net |= right
        steps: list[Step] = [
            MakeLandlockRuleset(
                AT,
                fd=self.ruleset,
                fs=known if self.directories else 0,
                net=net,
                scoped=SCOPED if self.version >= SCOPED_SINCE else 0,
            )
        ]
        for register, (path, access) in zip(self.opened, self.directories):
            steps += [
                OpenDirectory(AT, fd=register, path=path),
                AllowBeneath(AT, ruleset=self.ruleset, access=access & known, directory=register, path=path),
            ]
        steps += [
            AllowPort(AT, ruleset=self.ruleset, kind=RULE_NET_PORT, access=access, port=port)
            for port, access in self.ports
        ]
        return [*steps, RestrictByLandlock(AT, ruleset=self.ruleset)]
