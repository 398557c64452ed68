"""A resctrl file system for tests on machines without one: groups with their files, over FUSE.

It behaves like the kernel's: mkdir makes a group with its files; rmdir removes them and moves the group's processes to
the default group; a process is in one group; a wrong schema is refused, and info/last_cmd_status says why.
"""

import ctypes
import os
import stat
import struct
import threading
from errno import EACCES, EEXIST, EINVAL, ENOENT, ENOSYS, ENOTDIR, ESRCH

LOOKUP, FORGET, GETATTR, SETATTR, MKDIR, RMDIR, OPEN, READ, WRITE, STATFS, RELEASE, FLUSH = (
    1,
    2,
    3,
    4,
    9,
    11,
    14,
    15,
    16,
    17,
    18,
    25,
)
INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 26, 27, 28, 29, 36, 42
DIRECT_IO = 1
DEFAULT = {"L3": {0: "fffff", 1: "fffff"}, "MB": {0: "100", 1: "100"}}


class Refused(Exception):
    """An errno for the calling process."""


class Resctrl:
    """Mounted at ``path`` in this mount namespace, until :meth:`close`.

    :ivar groups: path of a group (``""`` the default one, ``a``, ``a/mon_groups/m``) -> its schemas, resource -> domain
        -> value.
    :ivar tasks: pid -> path of its group, and of its monitoring group.
    :ivar log: what was made, written and removed, in order.
    """

    def __init__(self, path):
        self.path, self.groups, self.tasks, self.log, self.status = str(path), {"": schemas()}, {}, [], "ok"
        self.limit = 100
        self.numbers, self.names = {"": 1}, {1: ""}
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if ctypes.CDLL(None, use_errno=True).mount(
            b"resctrl", self.path.encode(), b"fuse.resctrl", 0, options.encode()
        ):
            raise OSError(ctypes.get_errno(), "mount")
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def close(self):
        ctypes.CDLL(None).umount2(self.path.encode(), 2)
        os.close(self.device)

    # ---- the tree ----

    def children(self, path):
        """Names in a directory; ``None`` if it does not exist."""
        if path == "info":
            return ["last_cmd_status"]
        if path.split("/")[-1] == "mon_groups":
            holder = path.rpartition("/")[0]
            return (
                [name[len(path) + 1 :] for name in self.groups if name.startswith(path + "/")]
                if holder in self.groups
                else None
            )
        if path not in self.groups:
            return None
        if "mon_groups" in path.split("/"):
            return ["tasks"]
        own = ["tasks", "schemata", "mon_groups"]
        return own + (["info"] + [name for name in self.groups if name and "/" not in name] if not path else [])

    def text(self, path):
        group, _, name = path.rpartition("/")
        if name == "last_cmd_status":
            return self.status + "\n"
        if name == "schemata":
            lines = [
                f"{resource:>6}:" + ";".join(f"{domain}={value}" for domain, value in domains.items())
                for resource, domains in self.groups[group].items()
            ]
            return "".join(line + "\n" for line in lines)
        kind = int("mon_groups" in group.split("/"))
        return "".join(
            f"{pid}\n" for pid, places in self.tasks.items() if places[kind] == group and os.path.exists(f"/proc/{pid}")
        )

    def make(self, path):
        if self.children(path) is not None:
            raise Refused(EEXIST)
        if len(self.groups) >= self.limit:
            self.status = "Out of CLOSIDs"
            raise Refused(28)
        self.groups[path] = schemas()
        self.log.append(("make", path))

    def remove(self, path):
        if path not in self.groups:
            raise Refused(ENOENT)
        for name in [name for name in self.groups if name == path or name.startswith(path + "/")]:
            del self.groups[name]
        self.tasks = {
            pid: places for pid, places in self.tasks.items() if places[0] in self.groups and places[1] != path
        }
        self.log.append(("remove", path))

    def write(self, path, data):
        group, _, name = path.rpartition("/")
        self.log.append((path, data))
        if name == "tasks":
            pid = int(data)
            if not os.path.exists(f"/proc/{pid}"):
                raise Refused(ESRCH)
            clos, monitoring = self.tasks.get(pid, ("", ""))
            self.tasks[pid] = (clos, group) if "mon_groups" in group.split("/") else (group, "")
        elif name == "schemata":
            for line in data.splitlines():
                resource, _, domains = line.partition(":")
                if resource not in self.groups[group]:
                    self.status = f"Unknown or unsupported resource name '{resource}'"
                    raise Refused(EINVAL)
                for domain in domains.split(";"):
                    number, _, value = domain.partition("=")
                    self.groups[group][resource][int(number)] = value.lower().lstrip("0")
        else:
            raise Refused(EACCES)

    # ---- the protocol, linux/fuse.h ----

    def serve(self):
        while True:
            try:
                request = os.read(self.device, 1 << 18)
            except OSError:
                return
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            try:
                error, answer = 0, self.answer(opcode, self.names.get(node, ""), request[40:])
            except Refused as refused:
                error, answer = refused.args[0], b""
            try:
                os.write(self.device, struct.pack("<IiQ", 16 + len(answer), -error, unique) + answer)
            except OSError:  # the process that asked has ended
                pass

    def answer(self, opcode, path, body):
        if opcode == INIT:
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 16, 12, 65536, 1, 16, 0, 0, *[0] * 7)
        if opcode in (LOOKUP, MKDIR, RMDIR):
            name = body[8 if opcode == MKDIR else 0 :].split(b"\0")[0].decode()
            path = f"{path}/{name}" if path else name
            if opcode == RMDIR:
                self.remove(path)
                return b""
            if opcode == MKDIR:
                self.make(path)
            return struct.pack("<QQQQII", self.number(path), 0, 0, 0, 0, 0) + self.attributes(path)
        if opcode in (GETATTR, SETATTR):
            return struct.pack("<QII", 0, 0, 0) + self.attributes(path)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<QII", 0, DIRECT_IO, 0)
        if opcode == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return self.text(path).encode()[offset : offset + size]
        if opcode == WRITE:
            (size,) = struct.unpack_from("<I", body, 16)
            self.write(path, body[40 : 40 + size].decode())
            return struct.pack("<II", size, 0)
        if opcode == READDIR:
            _, offset, _ = struct.unpack_from("<QQI", body)
            entries = b""
            for place, name in list(enumerate(self.children(path) or [], 1))[offset:]:
                entries += struct.pack("<QQII", 1, place, len(name), 0) + name.encode() + bytes(-len(name) % 8)
            return entries
        if opcode == STATFS:
            return bytes(80)
        if opcode in (RELEASE, RELEASEDIR, FLUSH):
            return b""
        raise Refused(ENOSYS)

    def number(self, path):
        if path not in self.numbers:
            self.numbers[path] = len(self.numbers) + 1
            self.names[self.numbers[path]] = path
        return self.numbers[path]

    def attributes(self, path):
        holder, _, name = path.rpartition("/")
        names = self.children(path)
        if names is None:
            siblings = self.children(holder)
            if siblings is None:
                raise Refused(ENOTDIR)
            if name not in siblings:
                raise Refused(ENOENT)
        mode = stat.S_IFDIR | 0o755 if names is not None else stat.S_IFREG | 0o644
        return struct.pack("<QQQQQQIIIIIIIIII", self.number(path), 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def schemas():
    return {resource: dict(domains) for resource, domains in DEFAULT.items()}
