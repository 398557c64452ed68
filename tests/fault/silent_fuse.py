"""A FUSE file system that answers until it must not: an empty directory, then silence.

    python -I -S silent_fuse.py MOUNTPOINT

It prints a line ``mounted``, then one ``asked`` for the first request that it has read and does not answer. It ends
with its process. Of the protocol (linux/fuse.h) it implements only the beginning, and what stat(2) of its
root needs.
"""

import ctypes
import os
import struct
import sys

FORGET, GETATTR, INIT, ACCESS, BATCH_FORGET = 2, 3, 26, 34, 42
DIRECTORY = 0o40755
MINOR = 31


def attributes():
    """fuse_attr_out of the root."""
    return struct.pack("<QII", 3600, 0, 0) + struct.pack(
        "<QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, DIRECTORY, 2, 0, 0, 0, 4096, 0
    )


def answer(opcode):
    """The body of the answer; ``None`` for no answer."""
    if opcode == INIT:
        return struct.pack("<IIIIHHIIHHI28x", 7, MINOR, 65536, 0, 12, 9, 65536, 1, 16, 0, 0)
    if opcode == GETATTR:
        return attributes()
    return b"" if opcode == ACCESS else None


def main(point):
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if ctypes.CDLL(None, use_errno=True).mount(b"silent", os.fsencode(point), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    told = False
    while True:
        request = os.read(device, 1 << 18)
        _, opcode, unique = struct.unpack_from("<IIQ", request)
        if opcode in (FORGET, BATCH_FORGET):
            continue
        body = answer(opcode)
        if body is not None:
            os.write(device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)
            if opcode == INIT:
                print("mounted", flush=True)
        elif not told:
            told = True
            print("asked", flush=True)


main(sys.argv[1])
