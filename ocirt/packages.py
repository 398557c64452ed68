"""Python packages that ocirt does without: how one is imported, and how it is installed where this interpreter finds it.

Imported only where one is needed.
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
    """Import ``module`` of another package. The launcher starts Python without site, and with this package's own folder only.

    :raises ImportError: it is not installed.
    """
    if "site" not in sys.modules:
        import site

        site.main()
    return import_module(module)


def command_for(package: str) -> str:
    """The command that installs ``package`` for this interpreter: pip's, or that of the system whose Python it is."""
    is_of_system = sys.prefix == sys.base_prefix and os.path.exists(
        os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    )
    if is_of_system:
        for manager in ("apt-get", "dnf", "zypper"):
            if shutil.which(manager, path="/usr/sbin:/usr/bin:/sbin:/bin"):
                return f"{manager} install python3-{package}"
    return f"{sys.executable} -m pip install {package}" + (" --break-system-packages" if is_of_system else "")
