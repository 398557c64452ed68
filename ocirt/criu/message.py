"""Messages of criu's RPC: protocol buffers, as far as images/rpc.proto of criu 3.17 needs them.

A schema gives the number of each field of a message, or for a field that is a message, the number and the schema of
that. A message is a mapping of names to values: ``int`` and ``bool`` (varint), ``str``, a mapping, or a list of these
for a repeated field; ``None`` is left out.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeAlias

    Schema: TypeAlias = Mapping[str, Any]
    """Name of a field -> its number, or its number and the schema of the message that it is."""
    Message: TypeAlias = Mapping[str, Any]

DUMP, RESTORE, PRE_DUMP, NOTIFY, FEATURE_CHECK = 1, 2, 4, 6, 9
"""criu_req_type."""

OPTIONS = {
    "images_dir_fd": 1,
    "pid": 2,
    "leave_running": 3,
    "ext_unix_sk": 4,
    "tcp_established": 5,
    "evasive_devices": 6,
    "shell_job": 7,
    "file_locks": 8,
    "log_level": 9,
    "log_file": 10,
    "ps": (11, {"address": 1, "port": 2}),
    "notify_scripts": 12,
    "root": 13,
    "parent_img": 14,
    "track_mem": 15,
    "auto_dedup": 16,
    "work_dir_fd": 17,
    "link_remap": 18,
    "ext_mnt": (23, {"key": 1, "val": 2}),
    "manage_cgroups": 24,
    "cg_root": (25, {"ctrl": 1, "path": 2}),
    "rst_sibling": 26,
    "inherit_fd": (27, {"key": 1, "fd": 2}),
    "manage_cgroups_mode": 34,
    "external": 37,
    "empty_ns": 38,
    "join_ns": (39, {"ns": 1, "ns_file": 2}),
    "freeze_cgroup": 44,
    "tcp_skip_in_flight": 46,
    "lazy_pages": 48,
    "orphan_pts_master": 50,
    "config_file": 51,
    "tcp_close": 52,
    "lsm_profile": 53,
    "lsm_mount_context": 63,
}
FEATURES = {"mem_track": 1, "lazy_pages": 2}
REQUEST = {"type": 1, "opts": (2, OPTIONS), "notify_success": 3, "features": (5, FEATURES)}
RESPONSE = {"type": 1, "success": 2, "notify": (5, {"script": 1, "pid": 2}), "features": (8, FEATURES), "cr_errmsg": 9}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types."""


def encode(schema: "Schema", message: "Message") -> bytes:
    """The bytes of ``message``."""
    data = bytearray()
    for name, value in message.items():
        number, inner = _field(schema[name])
        for each in value if isinstance(value, list) else [] if value is None else [value]:
            if isinstance(each, int):
                data += _varint(number << 3 | _VARINT) + _varint(each)
            else:
                payload = os.fsencode(each) if isinstance(each, str) else encode(inner, each)
                data += _varint(number << 3 | _BYTES) + _varint(len(payload)) + payload
    return bytes(data)


def decode(schema: "Schema", data: bytes) -> "dict[str, Any]":
    """The message in ``data``. A repeated field has its last value, and fields that the schema lacks are left out.

    :raises ValueError: the data is no message.
    """
    known = {_field(field)[0]: (name, _field(field)[1]) for name, field in schema.items()}
    message: dict[str, Any] = {}
    at = 0
    value: int | bytes
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
        else:
            size, at = _read_varint(data, at) if kind == _BYTES else ({_FIXED64: 8, _FIXED32: 4}.get(kind), at)
            if size is None or at + size > len(data):
                raise ValueError("not a message of criu's")
            value, at = data[at : at + size], at + size
        name, inner = known.get(key >> 3, (None, None))
        if name is not None:
            message[name] = (
                value if isinstance(value, int) else os.fsdecode(value) if inner is None else decode(inner, value)
            )
    return message


def _field(field: "Any") -> "tuple[int, Any]":
    return field if isinstance(field, tuple) else (field, None)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers have ten bytes
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    data.append(value)
    return bytes(data)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("not a message of criu's")
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
