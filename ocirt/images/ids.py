"""The owners of files, as a container with a user namespace sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Row = tuple[int, int, int]
"""Of an id mapping: the first id in the container, the first one outside, and how many ids follow each other."""

CAPABILITY = "security.capability"
"""The attribute with a file's capabilities: struct vfs_cap_data, or vfs_ns_cap_data in revision 3, which ends with the
user id that is root in the user namespace in which the file has them."""
REVISION_MASK, REVISION_2, REVISION_3 = 0xFF000000, 0x02000000, 0x03000000
SIZE_2, SIZE_3 = 20, 24


@dataclass(frozen=True, slots=True)
class Owners:
    """The mappings of a container's user namespace; empty if it has none of its own."""

    users: tuple[Row, ...] = ()
    groups: tuple[Row, ...] = ()

    @classmethod
    def of(cls, users: Iterable[Row], groups: Iterable[Row]) -> Owners:
        return cls(tuple(users), tuple(groups))

    def user(self, id: int) -> int:
        """The user ``id`` outside as the container sees it. An id that the namespace does not map is that of a file of
        a layer, which has the ids of the image: it stays.
        """
        return _inside(self.users, id)

    def group(self, id: int) -> int:
        """The same for a group."""
        return _inside(self.groups, id)

    def capability(self, value: bytes) -> bytes:
        """The capabilities of a file, as an image has them: for root of the namespace they are plain ones."""
        magic = int.from_bytes(value[:4], "little")
        if len(value) != SIZE_3 or magic & REVISION_MASK != REVISION_3:
            return value
        if self.user(int.from_bytes(value[SIZE_2:SIZE_3], "little")) != 0:
            return value
        return (magic & ~REVISION_MASK | REVISION_2).to_bytes(4, "little") + value[4:SIZE_2]


def _inside(rows: tuple[Row, ...], id: int) -> int:
    for inside, outside, count in rows:
        if outside <= id < outside + count:
            return inside + id - outside
    return id
