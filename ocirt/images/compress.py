"""Compressing a layer by several threads, while it is written, and its digests.

The data is cut into blocks, and threads compress them: zlib and zstd let other threads work meanwhile. The blocks have
one size, so the result does not depend on the number of threads. With gzip they make one stream, as pigz does it: each
block begins with the end of the block before as its dictionary, and ends at a whole byte. With zstd each is a frame, and
a reader takes the frames one after the other.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from ..errors import OcirtError
from ..packages import command_for, load

Compression = Literal["gzip", "zstd", "none"]
MEDIA_TYPES = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "none": "application/vnd.oci.image.layer.v1.tar",
}
BLOCK = 1 << 20
WINDOW = 1 << 15
"""How far back deflate refers."""
GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""Of a gzip stream that tells neither a name, nor a time, nor a system."""
LEVELS = {"gzip": 6, "zstd": 3}
Compress = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that has been written.

    :ivar digest: of the blob, ``sha256:...``.
    :ivar size: of the blob.
    :ivar diff_id: the digest of the tar archive in it.
    """

    media_type: str
    digest: str
    size: int
    diff_id: str


class Packed:
    """A layer's blob, as an iterator of its bytes. The digests are known at the end.

    :param archive: the bytes of the tar archive.
    :param threads: how many compress; by default one for each CPU that this process may use.
    :raises OcirtError: the Python package for zstd is missing.
    """

    def __init__(self, archive: Iterable[bytes], compression: Compression = "gzip", threads: int | None = None) -> None:
        self._archive, self._compression = archive, compression
        self._plain, self._packed, self._size = hashlib.sha256(), hashlib.sha256(), 0
        self._frame: Compress = _zstd() if compression == "zstd" else bytes
        self._threads = threads or len(os.sched_getaffinity(0))

    @property
    def layer(self) -> Layer:
        """What has been written. The iterator is at its end."""
        digest, diff_id = f"sha256:{self._packed.hexdigest()}", f"sha256:{self._plain.hexdigest()}"
        return Layer(MEDIA_TYPES[self._compression], digest, self._size, diff_id)

    def __iter__(self) -> Iterator[bytes]:
        # sha256 takes as long as a good part of compressing: it has a thread of its own, and its blocks in order.
        with ThreadPoolExecutor(self._threads, "ocirt-compress") as pool, ThreadPoolExecutor(1, "ocirt-digest") as one:
            try:
                for data in self._gzip(pool, one) if self._compression == "gzip" else self._frames(pool, one):
                    self._packed.update(data)
                    self._size += len(data)
                    yield data
            finally:
                for each in (pool, one):
                    each.shutdown(cancel_futures=True)

    def _frames(self, pool: Executor, one: Executor) -> Iterator[bytes]:
        def begin() -> Iterator[Future[bytes]]:
            for block in self._blocks(one):
                yield pool.submit(self._frame, block)

        yield from self._in_order(begin())

    def _gzip(self, pool: Executor, one: Executor) -> Iterator[bytes]:
        checksum, count = 0, 0

        def begin() -> Iterator[Future[bytes]]:
            nonlocal checksum, count
            window = b""
            for block in self._blocks(one):
                checksum, count = zlib.crc32(block, checksum), count + len(block)
                yield pool.submit(_deflate, block, window, False)
                window = block[-WINDOW:]
            yield pool.submit(_deflate, b"", b"", True)

        yield GZIP_HEAD
        yield from self._in_order(begin())
        yield checksum.to_bytes(4, "little") + (count & 0xFFFFFFFF).to_bytes(4, "little")

    def _in_order(self, begun: Iterable[Future[bytes]]) -> Iterator[bytes]:
        """The results of work, while more of it is begun: so much that no thread waits, and no more."""
        waiting: deque[Future[bytes]] = deque()
        for each in begun:
            waiting.append(each)
            if len(waiting) > 2 * self._threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _blocks(self, one: Executor) -> Iterator[bytes]:
        """The archive in blocks of one size, each of which is hashed meanwhile."""
        rest, hashed = bytearray(), deque[Future[None]]()
        for data in self._archive:
            rest += data
            while len(rest) >= BLOCK:
                block = bytes(rest[:BLOCK])
                del rest[:BLOCK]
                hashed.append(one.submit(self._plain.update, block))
                if len(hashed) > 2 * self._threads:
                    hashed.popleft().result()
                yield block
        if rest:
            hashed.append(one.submit(self._plain.update, bytes(rest)))
            yield bytes(rest)
        for each in hashed:
            each.result()


def _deflate(block: bytes, window: bytes, is_last: bool) -> bytes:
    """A part of a deflate stream.

    :param window: the end of the data before the block.
    """
    packer = _packer(window)
    return packer.compress(block) + packer.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)


def _packer(window: bytes) -> zlib._Compress:
    if window:
        return zlib.compressobj(LEVELS["gzip"], wbits=-15, zdict=window)
    return zlib.compressobj(LEVELS["gzip"], wbits=-15)


def _zstd() -> Compress:
    """A function that makes a frame of zstd.

    :raises OcirtError: this Python has no zstd, and the package for it is missing.
    """
    try:
        module = load("compression.zstd")  # since Python 3.14
    except ImportError:
        try:
            module = load("zstandard")
        except ImportError:
            raise OcirtError(
                f"compression: zstd needs the Python package zstandard; run: {command_for('zstandard')}"
            ) from None
    compress: Callable[[bytes, int], bytes] = module.compress
    return lambda block: compress(block, LEVELS["zstd"])
