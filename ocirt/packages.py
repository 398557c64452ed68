"""Optional Python packages: how to import one, and how a user installs one for this interpreter.

This module is imported only if such a package is needed.
"""

import os
import shutil
import sys
import sysconfig
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def load(module: str) -> "ModuleType":
    """Import ``module`` of another package. The launcher starts Python without site, so Python first searches only
    ocirt's folder.

    :raises ImportError: the package is not installed.
    """
    if "site" not in sys.modules:
        import site

        site.main()
    return import_module(module)


def command_for(package: str) -> str:
    """The command that installs ``package`` for this interpreter: pip's, or the package manager's if this Python
    belongs to the system.
    """
    is_of_system = sys.prefix == sys.base_prefix and os.path.exists(
        os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    )
    if is_of_system:
        for manager in ("apt-get", "dnf", "zypper"):
            if shutil.which(manager, path="/usr/sbin:/usr/bin:/sbin:/bin"):
                return f"{manager} install python3-{package.removeprefix('python-')}"
    return f"{sys.executable} -m pip install {package}" + (" --break-system-packages" if is_of_system else "")
