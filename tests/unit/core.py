"""The executable's scanner and binder in this process: tests/core/shared.c, built by gcc as a shared library."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
CORE, BUILT = TREE / "ocirt/core", TREE / "build/meson/ocirt"
SOURCES = ("cache.c", "scan.c", "program.c", "text.c", "log.c", "container.c", "path.c")
CAPACITY = 1 << 22


class Core:
    """The library, built into a directory of its own."""

    def __init__(self, folder):
        library = Path(folder) / "core.so"
        subprocess.run(["gcc", "-std=gnu17", "-O1", "-g", "-shared", "-fPIC", "-w", "-DOCIRT_TREE", "-I", BUILT / "core", "-I", BUILT,
                        "-I", CORE, "-o", library, TREE / "tests/core/shared.c",
                        TREE / "tests/core/stubs.c", *[CORE / name for name in SOURCES]], check=True, timeout=120)
        self.library = ctypes.CDLL(str(library))
        self.library.test_scan.restype = self.library.test_find.restype = ctypes.c_long
        self.out = ctypes.create_string_buffer(CAPACITY)

    def scan(self, data):
        """The structure of the config ``data``, ``None`` where the scanner refuses it."""
        size = self.library.test_scan(data, ctypes.c_size_t(len(data)), self.out, ctypes.c_size_t(CAPACITY))
        return None if size < 0 else self.out.raw[:size]

    def find(self, directory, data, id="c1", bundle="/bundle"):
        """What create would find in the cache: a program, or the place and the key to keep one at."""
        path, key = ctypes.create_string_buffer(8192), ctypes.create_string_buffer(8192)
        size = self.library.test_find(str(directory).encode(), id.encode(), bundle.encode(), data, ctypes.c_size_t(len(data)),
                                      self.out, ctypes.c_size_t(CAPACITY), path, key)
        assert size != -2
        return self.out.raw[:size] if size >= 0 else (path.value.decode(), key.value.decode())


def cache_folder():
    """A directory on a tmpfs, as a cache must be; the caller removes it."""
    return Path(tempfile.mkdtemp(prefix="ocirt-test-", dir="/dev/shm"))


def remove(folder):
    shutil.rmtree(folder)
