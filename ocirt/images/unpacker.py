"""The program that unpacks one layer. It runs in a container of its own (:mod:`.unpack`), as a script, and imports
nothing of ocirt: an archive is input from strangers.

Standard input is the layer's blob, the working directory is the empty directory to fill. The program imports what it
needs, makes that directory its root, gives up the right to change its root again, and only then reads the archive. So
whatever a link or a name in the archive says, it leads to a place in that directory.

For a ``layer``, what is written is a lower directory of an overlay: a whiteout is a character device 0/0, and an opaque
directory has the attribute ``user.overlay.opaque``. For a ``tree`` the directory has the layers below already, and what
the layer says is removed is removed. For ``nothing`` the archive is only read. The program prints one JSON object:
``diff_id``, ``opaque`` (directories, for :mod:`.unpack`), and ``skipped`` (how many device nodes were left out), or
``error``.
"""

from __future__ import annotations

import bz2
import ctypes
import errno
import gzip
import hashlib
import json
import lzma
import os
import stat
import sys
import tarfile
from encodings import idna, latin_1, utf_8  # noqa: F401  (tarfile looks codecs up by name, when no file can be opened)
from importlib import import_module
from typing import IO, Any

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
AUFS = ".wh..wh."
"""How names of aufs' own files begin; they mean nothing to other file systems."""
XATTR = "SCHILY.xattr."
KEPT = ("user.", "security.capability")
"""Extended attributes that are restored, except those of overlayfs itself: with them a layer could redirect a name."""
OVERLAY = "user.overlay."
NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL)
CHUNK = 1 << 20
ZEROS = bytes(CHUNK)
PATH_MAX, ID_MAX = 4000, 2**32 - 2
DIRECTORY_MODE = 0o755
"""Of a directory that an archive uses and does not contain."""
CAPABILITY_VERSION_3, CAP_SYS_CHROOT = 0x20080522, 18
PR_CAPBSET_DROP = 24


class Refused(Exception):
    """The archive is broken, or asks for something that no layer may have."""


class Input:
    """The uncompressed layer: counts and hashes what is read.

    :param limit: the most bytes.
    """

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self.file, self.limit, self.count, self.hashed = file, limit, 0, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.count += len(data)
        if self.count > self.limit:
            raise Refused(f"the layer has more than {self.limit} bytes, the limit")
        self.hashed.update(data)
        return data

    def rest(self) -> None:
        """Read up to the end: the digest is that of the whole."""
        while self.read(CHUNK):
            pass


def uncompressed(file: Any, zstd: Any) -> Any:
    """``file`` without its compression, which its first bytes tell."""
    head = file.peek(6)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        if zstd is None:
            raise Refused("the layer is compressed with zstd: install the Python package zstandard (ocirt[images])")
        return zstd.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(file)
    return file


def path_of(name: str) -> str:
    """The name of an archive's entry as a relative path; ``.`` is the layer itself."""
    if "\0" in name:
        raise Refused(f"found the name {name!r} with a NUL")
    path = os.path.normpath(name.lstrip("/") or ".")
    if len(path.encode("utf-8", "surrogateescape")) > PATH_MAX:
        raise Refused(f"found the name {name[:80]!r}..., which is longer than {PATH_MAX} bytes")
    if path == ".." or path.startswith("../"):
        raise Refused(f"found the name {name!r}, which leads out of the layer")
    return path


def whiteout_in(path: str) -> str | None:
    """The path that the entry ``path`` says is removed, if it is a whiteout."""
    folder, name = os.path.split(path)
    if not name.startswith(WHITEOUT):
        return None
    removed = name[len(WHITEOUT) :]
    if removed in ("", ".", ".."):
        raise Refused(f"found the whiteout {path!r} of no name")
    return os.path.join(folder, removed)


class Layer:
    """The layer that is being unpacked into the working directory.

    :param chowns: may files get other owners? If not, they belong to the caller.
    :param limit: the most bytes of all files together, as their entries say.
    """

    def __init__(self, chowns: bool, limit: int) -> None:
        self.chowns, self.limit, self.size, self.skipped = chowns, limit, 0, 0
        self.whiteouts: list[str] = []
        self.opaque: set[str] = set()
        self.times: dict[str, int] = {}

    def add(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        path = path_of(entry.name)
        name = os.path.basename(path)
        if name == OPAQUE:
            self.opaque.add(os.path.dirname(path))
            return
        if name.startswith(AUFS):
            return
        removed = whiteout_in(path)
        if removed is not None:
            self.whiteouts.append(removed)
            return
        if entry.isdev() and not entry.isfifo():
            self.skipped += 1
            return
        self.make_parents(path)
        self.make(archive, entry, path)
        self.set_attributes(entry, path)
        self.made(path)

    def made(self, path: str) -> None:
        """Remember an entry, if the kind of result needs it."""

    def make_parents(self, path: str) -> None:
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, DIRECTORY_MODE, exist_ok=True)

    def make(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        if entry.isdir():
            if not self.is_directory(path):
                self.remove(path)
                os.mkdir(path, 0o700)
            return
        if path == ".":
            raise Refused("found an entry for the layer itself that is no directory")
        if entry.islnk():
            self.link(entry, path)
            return
        self.remove(path)
        if entry.issym():
            os.symlink(entry.linkname, path)
        elif entry.isfifo():
            os.mkfifo(path, 0o600)
        elif entry.isreg():
            self.write(archive, entry, path)
        else:
            raise Refused(f"found {path!r} of the unknown type {entry.type!r}")

    def link(self, entry: tarfile.TarInfo, path: str) -> None:
        target = path_of(entry.linkname)
        if not os.path.lexists(target) or os.path.isdir(target) and not os.path.islink(target):
            raise Refused(f"found {path!r}, a hard link to {entry.linkname!r}, which is no file of this layer")
        if target != path:
            self.remove(path)
            os.link(target, path, follow_symlinks=False)

    def write(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        if entry.size < 0:  # a sparse file can say so
            raise Refused(f"found {path!r} with {entry.size} bytes")
        self.size += entry.size
        if self.size > self.limit:
            raise Refused(f"the files of the layer have more than {self.limit} bytes, the limit")
        content = archive.extractfile(entry)
        assert content is not None
        with open(path, "xb", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            while chunk := content.read(CHUNK):
                if chunk == ZEROS[: len(chunk)]:  # a hole, which takes no room: a sparse file can have any size
                    os.lseek(file.fileno(), len(chunk), os.SEEK_CUR)
                    continue
                rest = memoryview(chunk)
                while rest:
                    rest = rest[os.write(file.fileno(), rest) :]
            os.ftruncate(file.fileno(), entry.size)

    def is_directory(self, path: str) -> bool:
        try:
            return stat.S_ISDIR(os.lstat(path).st_mode)
        except FileNotFoundError:
            return False

    def remove(self, path: str) -> None:
        """Make room for an entry: a later entry of the same name takes the place of an earlier one.

        The program is alone with the directory, which is its root, and has made all that is in it. So a tree is removed by
        its paths, which library/remove.py, for trees that others change meanwhile, never does.
        """
        if self.is_directory(path):
            for folder, folders, files in os.walk(path, topdown=False):
                for each in files:
                    os.unlink(os.path.join(folder, each))
                for each in folders:
                    inner = os.path.join(folder, each)
                    os.unlink(inner) if os.path.islink(inner) else os.rmdir(inner)
            os.rmdir(path)
            self.opaque = {each for each in self.opaque if each != path and not each.startswith(path + "/")}
        elif os.path.lexists(path):
            os.unlink(path)

    def set_attributes(self, entry: tarfile.TarInfo, path: str) -> None:
        if entry.islnk():  # they are the target's
            return
        if not (0 <= entry.uid <= ID_MAX and 0 <= entry.gid <= ID_MAX):  # chown(2) takes -1 for no change
            raise Refused(f"{path!r}: found the owner {entry.uid}:{entry.gid}, expected numbers up to {ID_MAX}")
        if self.chowns:
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        if not entry.issym():
            os.chmod(path, entry.mode & 0o7777)  # after chown, which clears the set-user-id bit
        for key, value in entry.pax_headers.items():
            name = key.removeprefix(XATTR)
            if name != key and name.startswith(KEPT) and not name.startswith(OVERLAY):
                self.set_xattr(path, name, value.encode("utf-8", "surrogateescape"))
        time = int(entry.mtime * 1_000_000_000)
        if entry.isdir():
            self.times[path] = time
        else:
            os.utime(path, ns=(time, time), follow_symlinks=False)

    def set_xattr(self, path: str, name: str, value: bytes) -> None:
        try:
            os.setxattr(path, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NOT_SUPPORTED:
                raise

    def finish(self) -> None:
        """Make what concerns the layers below, and set the times of directories, which their content has changed."""
        self.hide()
        for path, time in sorted(self.times.items(), reverse=True):
            if self.is_directory(path):
                os.utime(path, ns=(time, time), follow_symlinks=False)

    def hide(self) -> None:
        for path in self.whiteouts:
            if self.is_directory(path):  # this layer removes what is below, and has a directory of its own there
                self.opaque.add(path)
            elif not os.path.lexists(path):
                self.make_parents(path)
                os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(0, 0))
        for path in self.opaque:
            os.makedirs(path or ".", DIRECTORY_MODE, exist_ok=True)
            os.setxattr(path or ".", "user.overlay.opaque", b"y", follow_symlinks=False)


class Tree(Layer):
    """The layers below, with this layer added."""

    def __init__(self, chowns: bool, limit: int) -> None:
        super().__init__(chowns, limit)
        self.own: set[str] = set()

    def made(self, path: str) -> None:
        while path and path not in self.own:
            self.own.add(path)
            path = os.path.dirname(path)

    def hide(self) -> None:
        for path in [*self.whiteouts, *self.opaque]:
            self.remove_others(path or ".")
        self.opaque = set()

    def remove_others(self, path: str) -> None:
        """Remove what the layers below have at ``path``."""
        if path != "." and path not in self.own and path not in self.opaque:
            self.remove(path)
        elif self.is_directory(path):
            for name in os.listdir(path):
                self.remove_others(name if path == "." else f"{path}/{name}")


class Nothing(Layer):
    """A layer of which only the digest is asked for."""

    def add(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        pass


KINDS = {"layer": Layer, "tree": Tree, "nothing": Nothing}


def confine() -> None:
    """Make the working directory the root, and give up the right to change that."""
    os.chroot(".")
    os.chdir("/")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_CAPBSET_DROP, CAP_SYS_CHROOT, 0, 0, 0) not in (0, -1):
        raise OSError(ctypes.get_errno(), "prctl")
    head = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(head, sets) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    for index in range(3):
        sets[index] &= ~(1 << CAP_SYS_CHROOT)
    if libc.capset(head, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def unpack(layer: Layer, zstd: Any) -> dict[str, object]:
    """Unpack standard input into the root directory."""
    source = Input(uncompressed(sys.stdin.buffer, zstd), layer.limit)
    with tarfile.open(fileobj=source, mode="r|", encoding="utf-8", errors="surrogateescape", bufsize=CHUNK) as archive:  # type: ignore[call-overload]
        for entry in archive:
            try:
                layer.add(archive, entry)
            except (OSError, OverflowError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise Refused(f"{entry.name!r}: {getattr(error, 'strerror', None) or error}") from None
            archive.members.clear()  # otherwise the memory grows with the archive
    layer.finish()
    source.rest()
    return {
        "diff_id": f"sha256:{source.hashed.hexdigest()}",
        "opaque": sorted(each or "." for each in layer.opaque),
        "skipped": layer.skipped,
    }


def main(words: list[str]) -> int:
    """``unpacker.py chown|own layer|tree|nothing LIMIT [DIRECTORY of zstandard]``"""
    zstd: Any = None
    if len(words) > 3:
        sys.path.insert(0, words[3])
        zstd = import_module("zstandard")
    try:
        confine()
        found = unpack(KINDS[words[1]](words[0] == "chown", int(words[2])), zstd)
    except Refused as error:
        found = {"error": str(error)}
    except OSError as error:
        place = f"{error.filename!r}: " if error.filename else ""
        found = {"error": place + (error.strerror or str(error)), "errno": error.errno}
    except MemoryError:
        found = {"error": "the layer's archive needs too much memory"}
    except (EOFError, tarfile.TarError, ValueError, RecursionError, lzma.LZMAError) as error:
        found = {"error": f"broken archive: {error}"}
    except Exception as error:
        if zstd is None or not isinstance(error, zstd.ZstdError):
            raise
        found = {"error": f"broken archive: {error}"}
    print(json.dumps(found))
    return 1 if "error" in found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
