"""``ocirt plan``: what create would do for a bundle. The verb changes nothing and needs no privileges."""

import os

from ..compile import compile
from ..errors import OcirtError, RequestError, reason
from ..model.config import parse
from ..model.host import Host
from ..model.request import Request
from ..plan.check import fault_of
from ..plan.encode import BUILD_SIZE, encode
from ..plan.printer import plan_lines, trace_lines
from .output import write
from .root import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..model.config import Config
    from .parser import CommandLine

ID = "ID"
"""The id of a container that is never made."""
CONSOLE_SOCKET = "/CONSOLE-SOCKET"
"""The socket that create would need for a bundle with a terminal."""


def run(line: "CommandLine") -> None:
    """Print the plan of a bundle, or with ``--slots`` what it was compiled from.

    :raises OcirtError: config.json cannot be read or compiled, or the plan is unsound.
    """
    options = line.options
    bundle, data = bundle_of(line.arguments[0] if line.arguments else ".", options.config)
    config = parse(data)
    given = words(options, bundle) | ({"console-socket": CONSOLE_SOCKET} if config.process.terminal else {})
    plan = compile(config, Request(given), host_for(config))
    encode(plan, "0" * BUILD_SIZE)  # finds strings that no system call accepts, and records the values that steps get
    lines = trace_lines(plan.trace) if options.slots else plan_lines(plan)
    write("".join([each + "\n" for each in lines]))
    fault = fault_of(plan)
    if fault:
        raise OcirtError(
            f"this plan is unsound, which is a fault of ocirt and not of the bundle: {fault}; please report it"
        )


def host_for(config: "Config") -> Host:
    """The Host that the plan is for: this host, or if only root could create the container, this host as root sees it.
    So any user can read what a bundle does that needs root.
    """
    host = Host()
    if host.euid == 0 or "user" in [namespace.type.bound() for namespace in config.linux.namespaces]:
        return host
    everything = (2 << host.last_capability) - 1
    return Host(
        euid=0, egid=0, permitted=everything, bounding=everything, in_user_namespace=False, denies_setgroups=False
    )


def bundle_of(bundle: str, config: str | None) -> tuple[str, bytes]:
    """The absolute path of ``bundle``, and the bytes of its config.json or of the file ``config`` (``--config``). If
    ``bundle`` is a file, the bundle is the directory of the file, and the file replaces config.json.

    :raises RequestError: the file cannot be read.
    """
    bundle = os.path.abspath(bundle)
    if config:
        return bundle, read(config, "--config")
    if os.path.isfile(bundle):
        return os.path.dirname(bundle), read(bundle, "")
    return bundle, read(os.path.join(bundle, "config.json"), "")


def read(path: str, flag: str) -> bytes:
    """The bytes of the file ``path``, which ``flag`` names. For a flag, ``-`` means standard input.

    :raises RequestError: the file cannot be read.
    """
    try:
        with open(0 if flag and path == "-" else path, "rb", closefd=path != "-") as file:
            return file.read()
    except OSError as error:
        raise RequestError(f"{flag} {path}: {reason(error)}".lstrip()) from None


def words(options: "Namespace", bundle: str) -> dict[str, str]:
    """The words of a request to create a container from ``bundle``, as the launcher writes them."""
    given = {"verb": "create", "id": ID, "bundle": bundle, "root": root_of(options)}
    for name in ("cgroup-manager", "rootless", "as"):
        value = getattr(options, name.replace("-", "_"))
        if value:
            given[name] = value
    if "XDG_RUNTIME_DIR" in os.environ:
        given["runtime-dir"] = os.environ["XDG_RUNTIME_DIR"]
    return given | ({"systemd-cgroup": "1"} if options.systemd_cgroup else {})
