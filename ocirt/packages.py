"""How a Python package that ocirt does without is installed where this interpreter finds it.

Imported only where one is missing.
"""

import os
import shutil
import sys
import sysconfig


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
