"""Which executable the library uses, and where that keeps its containers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .. import state_dir
from ..failures import InstallationError

Manager = Literal["auto", "cgroupfs", "systemd", "disabled"]
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def installed_executable(package: str = PACKAGE) -> str:
    """The executable that belongs to the package: installed by an installer, or built in the package's tree.

    :param package: the folder of the package ``ocirt``.
    :raises InstallationError: it does not exist, or the script ``ocirt-python`` is missing in its folder.
    """
    site = os.path.dirname(package)
    # Next to lib/pythonX.Y/site-packages or lib/python3/dist-packages; where pip --target puts it; build/bin of a tree.
    folders = [os.path.normpath(os.path.join(site, way)) for way in ("build/bin", "../../../bin", "bin")]
    for folder in folders:
        if all(os.path.isfile(os.path.join(folder, name)) for name in ("ocirt", "ocirt-python")):
            return os.path.join(folder, "ocirt")
    raise InstallationError(
        f"found no executable ocirt and script ocirt-python in {', '.join(folders)}: pass "
        "Runtime(executable=...), or install ocirt (an editable install has none; hack/build does)"
    )


def default_root() -> str:
    """The command line's default for the directory of containers' states: /run/ocirt, and without root's rights
    /run/user/UID/ocirt.
    """
    return state_dir.default_root({})


def default_environment() -> dict[str, str]:
    """The default for the executable's environment: empty, or for a user without root's rights the variable of the
    run-time directory. The caller's own environment could reach the container: the executable passes on NOTIFY_SOCKET
    and LISTEN_FDS.
    """
    uid = os.geteuid()
    directory = f"/run/user/{uid}"
    return {"XDG_RUNTIME_DIR": directory} if uid != 0 and os.path.isdir(directory) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """An executable, its containers, and how it makes them. The library takes nothing from the caller's environment.

    :ivar executable: path of ``ocirt``; by default the one that is installed with this package, or built in its tree.
    :ivar root: the directory of the containers' states; by default :func:`default_root`.
    :ivar cgroup_manager: who makes cgroups. ``auto``: the executable, or the user's own systemd if only that may.
    :ivar environment: the executable's environment; by default :func:`default_environment`.
    :ivar timeout: seconds that a step of a container's life (create, start, pause, delete...) may take. It is for steps
        that hang (a hook, a file system): the library ends the step, and raises :class:`~ocirt.TimeoutExpired`.
    :raises InstallationError: no executable is given, and none is installed.
    """

    executable: str = field(default_factory=installed_executable)
    root: str = field(default_factory=default_root)
    cgroup_manager: Manager = "auto"
    environment: Mapping[str, str] = field(default_factory=default_environment)
    timeout: float = 60.0

    def __post_init__(self) -> None:
        for name in ("executable", "root"):
            object.__setattr__(self, name, os.path.abspath(os.fspath(getattr(self, name))))

    def command(self, *words: str) -> list[str]:
        """A command line of the executable."""
        return [
            self.executable,
            "--root",
            self.root,
            "--log-format",
            "json",
            "--cgroup-manager",
            self.cgroup_manager,
            *words,
        ]
