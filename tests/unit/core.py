"""The executable's scanner and binder in this process: tests/core/shared.c, which gcc builds as a shared library."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ocirt.model.json import parse

TREE = Path(__file__).resolve().parents[2]
CORE, BUILT = TREE / "ocirt/core", TREE / "build/meson/ocirt"
SOURCES = (
    "launch/bind.c",
    "launch/cache.c",
    "launch/cache_directory.c",
    "launch/descriptors.c",
    "launch/entry.c",
    "launch/machine.c",
    "launch/reader.c",
    "launch/request.c",
    "launch/request_json.c",
    "launch/systemd_path.c",
    "launch/tests.c",
    "program/scan.c",
    "program/program.c",
    "base/text.c",
    "base/trace.c",
    "base/memory.c",
    "base/need.c",
    "base/files.c",
    "base/log.c",
    "base/socket.c",
    "base/processes.c",
    "cgroup/dbus.c",
)
CAPACITY = 1 << 22


class Core:
    """The library, built into a directory of its own."""

    def __init__(self, folder):
        library = Path(folder) / "core.so"
        subprocess.run(
            [
                "gcc",
                "-std=gnu17",
                "-D_GNU_SOURCE",
                "-O1",
                "-g",
                "-shared",
                "-fPIC",
                "-w",
                "-DOCIRT_TREE",
                "-Dmmap=test_mmap",
                "-I",
                BUILT / "core",
                "-I",
                BUILT,
                "-I",
                CORE,
                "-o",
                library,
                TREE / "tests/core/shared.c",
                TREE / "tests/core/stubs.c",
                *[CORE / name for name in SOURCES],
            ],
            check=True,
            timeout=120 * int(os.environ.get("OCIRT_TEST_SLOWNESS", "1")),
        )
        self.library = ctypes.CDLL(str(library))
        self.library.test_scan.restype = self.library.test_find.restype = self.library.test_find_exec.restype = (
            ctypes.c_long
        )
        self.library.test_calls.restype = self.library.test_read.restype = ctypes.c_long
        self.out = ctypes.create_string_buffer(CAPACITY)

    def scan(self, data):
        """The structure of the config ``data``, ``None`` if the scanner refuses it."""
        size = self.library.test_scan(data, ctypes.c_size_t(len(data)), self.out, ctypes.c_size_t(CAPACITY))
        return None if size < 0 else self.out.raw[:size]

    def find(self, directory, data, id="c1", bundle="/bundle", systemd=False, debug=False):
        """What create would find in the cache: a program, or the first arguments of :func:`ocirt.plan.cache.keep`,
        which are the path, the key and the request. ``debug``: as with --debug.
        """
        path, request = ctypes.create_string_buffer(8192), ctypes.create_string_buffer(CAPACITY)
        size = self.library.test_find(
            str(directory).encode(),
            id.encode(),
            bundle.encode(),
            int(systemd),
            int(debug),
            data,
            ctypes.c_size_t(len(data)),
            self.out,
            ctypes.c_size_t(CAPACITY),
            path,
            request,
        )
        assert size != -2
        return self.out.raw[:size] if size >= 0 else place(path, request)

    def find_exec(self, directory, argv, data, process, created, bundle="/bundle"):
        """What exec would find for the command line ``argv`` and a container; ``None`` if the executable does not read
        the line.
        """
        path, request = ctypes.create_string_buffer(8192), ctypes.create_string_buffer(CAPACITY)
        words = (ctypes.c_char_p * (len(argv) + 1))(*map(os.fsencode, argv), None)
        size = self.library.test_find_exec(
            str(directory).encode(),
            words,
            data,
            ctypes.c_size_t(len(data)),
            process,
            ctypes.c_size_t(len(process or b"")),
            created.encode(),
            bundle.encode(),
            self.out,
            ctypes.c_size_t(CAPACITY),
            path,
            request,
        )
        assert size != -2
        return self.out.raw[:size] if size >= 0 else None if size == -3 else place(path, request)

    def calls(self, items, pid):
        """The bytes of the D-Bus calls that the items make (ocirt/cgroups/dbus.py), ``None`` if the items are wrong."""
        texts = (ctypes.c_char_p * len(items))(*[item.encode() for item in items])
        size = self.library.test_calls(texts, len(items), pid, self.out)
        return None if size < 0 else self.out.raw[:size]

    def messages(self, fd):
        """What is read from the socket ``fd`` until its end, one message a line, and the error that ended it."""
        self.out.value = b""
        error = self.library.test_read(fd, self.out, ctypes.c_size_t(CAPACITY))
        return self.out.value.decode("latin-1"), error


def place(path, request):
    """The first arguments of :func:`ocirt.plan.cache.keep`."""
    members, texts = parse(os.fsdecode(request.value))
    return path.value.decode(), texts["key"], (members["key"], members["bound"])


def ids(text):
    """The value of --user as the executable writes it for Python: numbers, if the text has numbers."""
    numbers = text.split(":")
    if not all(each.isascii() and each.isdigit() and len(each) < 11 and int(each) < 2**32 - 1 for each in numbers):
        return text
    return dict(zip(("uid", "gid"), map(int, numbers))) if len(numbers) < 3 else text


def group(text):
    """The same for --additional-gids."""
    found = ids(text)
    return found["uid"] if isinstance(found, dict) and ":" not in text else text


def cache_folder():
    """A directory in memory, where the cache is by default. The caller removes it."""
    return Path(tempfile.mkdtemp(prefix="ocirt-test-", dir="/dev/shm"))


def remove(folder):
    shutil.rmtree(folder)
