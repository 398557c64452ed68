"""ocirt: an OCI container runtime, and the library to use it from Python (docs/library.md).

    config = ocirt.sandbox(["python3", "-"], memory=256 << 20)
    result = ocirt.run(config=config, rootfs="/srv/python", input=code, timeout=5)

The library's modules are imported when a name is first used: a create that compiles imports this package, and must not
pay for the library.
"""

__version__ = "0.2.0"

TYPE_CHECKING = False  # importing `typing` costs time; type checkers know this name
if TYPE_CHECKING:
    from . import aio as aio
    from . import images as images
    from .container import Container as Container
    from .container import Process as Process
    from .container import run as run
    from .errors import ConfigError as ConfigError
    from .errors import HostError as HostError
    from .errors import NoContainer as NoContainer
    from .errors import OcirtError as OcirtError
    from .errors import RequestError as RequestError
    from .errors import StateError as StateError
    from .failures import ContainerExists as ContainerExists
    from .failures import FileError as FileError
    from .failures import ImageError as ImageError
    from .failures import InstallationError as InstallationError
    from .failures import NoImage as NoImage
    from .failures import ProgramError as ProgramError
    from .failures import StepError as StepError
    from .failures import TimeoutExpired as TimeoutExpired
    from .failures import WrongState as WrongState
    from .images.image import Image as Image
    from .library.changes import Changes as Changes
    from .library.description import Bind as Bind
    from .library.description import Copy as Copy
    from .library.inside import Files as Files
    from .library.network import Net as Net
    from .library.observe import Event as Event
    from .library.observe import Stats as Stats
    from .library.runtime import Runtime as Runtime
    from .library.sandbox import sandbox as sandbox
    from .library.streams import DEVNULL as DEVNULL
    from .library.streams import PIPE as PIPE
    from .library.streams import STDOUT as STDOUT
    from .pools import Pool as Pool
    from .result import CommandFailed as CommandFailed
    from .result import Result as Result
    from .result import SandboxResult as SandboxResult
    from .sandboxes import Live as Live
    from .sandboxes import Sandbox as Sandbox
    from .sandboxes import Snapshot as Snapshot
    from .state_dir import State as State
    from .why import Why as Why

_HOMES = {
    "aio": ("aio",),
    "container": ("Container", "Process", "run"),
    "errors": ("ConfigError", "HostError", "NoContainer", "OcirtError", "RequestError", "StateError"),
    "failures": (
        "ContainerExists",
        "FileError",
        "ImageError",
        "InstallationError",
        "NoImage",
        "ProgramError",
        "StepError",
        "TimeoutExpired",
        "WrongState",
    ),
    "images": ("images",),
    "images.image": ("Image",),
    "library.changes": ("Changes",),
    "library.description": ("Bind", "Copy"),
    "library.inside": ("Files",),
    "library.network": ("Net",),
    "library.observe": ("Event", "Stats"),
    "library.runtime": ("Runtime",),
    "library.sandbox": ("sandbox",),
    "library.streams": ("DEVNULL", "PIPE", "STDOUT"),
    "result": ("CommandFailed", "Result", "SandboxResult"),
    "pools": ("Pool",),
    "sandboxes": ("Live", "Sandbox", "Snapshot"),
    "state_dir": ("State",),
    "why": ("Why",),
}
"""Public names, by the modules that define them."""

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "Bind",
    "Changes",
    "CommandFailed",
    "ConfigError",
    "Container",
    "ContainerExists",
    "Copy",
    "Event",
    "FileError",
    "Files",
    "HostError",
    "Image",
    "ImageError",
    "InstallationError",
    "Live",
    "Net",
    "NoContainer",
    "NoImage",
    "OcirtError",
    "Pool",
    "Process",
    "ProgramError",
    "RequestError",
    "Result",
    "Runtime",
    "Sandbox",
    "SandboxResult",
    "Snapshot",
    "State",
    "StateError",
    "Stats",
    "StepError",
    "TimeoutExpired",
    "Why",
    "WrongState",
    "aio",
    "images",
    "run",
    "sandbox",
]


if not TYPE_CHECKING:  # so that type checkers report unknown names

    def __getattr__(name):
        # `from . import x` calls this for each submodule that is not imported yet; so importlib is imported only for a
        # name of the library.
        for home, names in _HOMES.items():
            if name in names:
                from importlib import import_module

                module = import_module(f".{home}", __name__)
                value = globals()[name] = module if name == home else getattr(module, name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
