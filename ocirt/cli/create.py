"""create and run, from config.json's bytes to the executable that runs the program.

On the path of every create that misses the cache: see tests/unit/test_import_budget.py.
"""

from fcntl import fcntl
from posix import MFD_ALLOW_SEALING, environ, execve, fstat, memfd_create, open, O_CLOEXEC, O_RDONLY, pread, read, write

from ..errors import HostError, reason

F_ADD_SEALS = 1033
SEALS = 0x1 | 0x2 | 0x4 | 0x8
"""F_SEAL_SEAL, _SHRINK, _GROW and _WRITE: what the launcher maps cannot change under it."""
