"""The law of the program cache, tested with unusual values in every field: if the program of one config is kept, and
the executable's own binder binds it to another config of the same structure, the result must equal the compiled program
of that config.

    python -m tests.unit.differential SECONDS [SEED]    # hack/fuzz; prints the pairs that break the law, and ends with
    status 1
"""

import json
import os
import random
import sys
import tempfile
import time

from ocirt.compile import compile
from ocirt.compile.exec import compile as compile_exec
from ocirt.errors import OcirtError
from ocirt.model.config import parse
from ocirt.model.exec import ExecRequest
from ocirt.model.host import Cgroups, Hierarchy
from ocirt.model.json import parse as parse_json
from ocirt.model.request import Request
from ocirt.plan import cache
from ocirt.plan.encode import encoded
from ocirt.validate import schema
from tests.unit.core import BUILT, Core, cache_folder, remove
from tests.unit.plans import DATA, V1, host, request, v1, v2, with_changes

BUILD = (BUILT / "build-id.h").read_text().split('BUILD_ID "')[1].split('"')[0]
CREATED = '{"verb":"create","cgroup-manager":"cgroupfs","rootless":"auto","own-cgroups":{}}'

NUMBERS = [
    0,
    1,
    -1,
    2,
    7,
    9,
    10,
    99,
    100,
    101,
    255,
    256,
    999,
    1000,
    1001,
    -1000,
    -1001,
    1 << 12,
    (1 << 12) - 1,
    1 << 15,
    65535,
    65536,
    0o7777,
    0o10000,
    1 << 18,
    (1 << 18) + 1,
    1 << 20,
    (1 << 20) - 1,
    999_999_999,
    1_000_000_000,
    (1 << 31) - 1,
    1 << 31,
    -(1 << 31),
    -(1 << 31) - 1,
    (1 << 32) - 2,
    (1 << 32) - 1,
    1 << 32,
    524288,
    524289,
    (1 << 63) - 1,
    1 << 63,
    -(1 << 63),
    (1 << 64) - 1,
    -2,
    19,
    20,
    -20,
    -21,
    3,
    5,
    6,
    8,
    4096,
    1023,
    1024,
]
TEXTS = [
    "",
    "/",
    ".",
    "..",
    "/..",
    "../x",
    "/a/../b",
    "//",
    "/./a",
    "a/",
    "/proc",
    "/proc/",
    "//proc",
    "/./proc",
    "/proc/self",
    "/proc/x",
    "/sys",
    "/sys/",
    "/sys/x",
    "/sys/fs/cgroup",
    "/dev",
    "/dev/",
    "/x/../dev",
    "/dev/null",
    "/dev/pts",
    "/dev/ptmx",
    "/dev/console",
    "/dev/fd",
    "rootfs",
    "relative",
    "a:b:c",
    "a.slice:p:n",
    "a-b.slice:p:n",
    "-.slice:p:n",
    ":p:n",
    "a.slice::n",
    "a:p:n",
    "x" * 64,
    "x" * 65,
    "x" * 4096,
    "/" + "x" * 4095,
    "/" + "x" * 4096,
    "é" * 33,
    "a b",
    "a\nb",
    "a\tb",
    "a,b",
    "a=b",
    "=",
    "-",
    "-1",
    "0",
    "1",
    "00",
    "0-3",
    "3-0",
    "0,",
    "1000000",
    "max",
    "rw",
    "ro",
    "bind",
    "rbind",
    "rro",
    "nosuid",
    "mode=755",
    "size=5",
    "idmap",
    "ridmap",
    "rprivate",
    "tmpcopyup",
    "proc",
    "sysfs",
    "tmpfs",
    "cgroup",
    "cgroup2",
    "mqueue",
    "devpts",
    "none",
    "c",
    "b",
    "u",
    "p",
    "a",
    "rwm",
    "r",
    "w",
    "x",
    "mount",
    "pid",
    "user",
    "network",
    "ipc",
    "uts",
    "time",
    "cgroup",
    "CAP_KILL",
    "CAP_CHOWN",
    "CAP_NONE",
    "cap_kill",
    "RLIMIT_CORE",
    "RLIMIT_NOFILE",
    "RLIMIT_X",
    "SCHED_OTHER",
    "SCHED_FIFO",
    "SCHED_DEADLINE",
    "IOPRIO_CLASS_BE",
    "IOPRIO_CLASS_RT",
    "MPOL_BIND",
    "MPOL_DEFAULT",
    "LINUX",
    "LINUX32",
    "private",
    "shared",
    "rslave",
    "unbindable",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_NOTIFY",
    "2MB",
    "1GB",
    "64KB",
    "L3:0=f",
    "MB:0=20",
    "MB:",
    "unconfined",
    "eth0",
    "lo",
    "x" * 16,
    "1.3.0",
    "1.0.0",
    "2.0.0",
    "1.x",
    "\u2028",
    "\x7f",
]
LISTS = [
    [],
    [""],
    ["sh"],
    ["/bin/sh", "-c", "x"],
    ["A=b"],
    ["A"],
    ["=A"],
    ["A=1", "A=2"],
    ["PATH="],
    ["HOME=/x", "PATH=/a:/b"],
    ["x" * 5000],
    ["é", "a\nb"],
    [f"N{number}=v" for number in range(300)],
]
ANNOTATIONS = [
    {},
    {"a": ""},
    {"org.ocirt.x": "1"},
    {"org.ocirt.rootfs.lower": "/"},
    {"org.systemd.property.After": "['a']"},
    {"org.systemd.property.x": "1"},
    {"org.criu.config": "/c"},
    {"run.oci.handler": "wasm"},
    {"": "x"},
    {"é": '\n"\\'},
]
ODD = {"i": NUMBERS, "s": TEXTS, "L": LISTS, "R": ANNOTATIONS}


class Everything:
    """A host's control files: all of them exist."""

    def __contains__(self, path):
        return True


_HOOKS = {
    point: [{"path": "/h", "args": ["h"], "env": ["A=b"], "timeout": 3}]
    for point in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
}
_DEVICE = {"major": 8, "minor": 0}
_MAPS = {f"{kind}Mappings": [{"containerID": 0, "hostID": 1000, "size": 65536}] for kind in ("uid", "gid")}
_PROCESS = {
    "consoleSize": {"height": 24, "width": 80},
    "cwd": "/",
    "env": ["PATH=/bin"],
    "args": ["sh"],
    "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}],
    "apparmorProfile": "p",
    "oomScoreAdj": 7,
    "selinuxLabel": "l",
    "capabilities": {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
    "scheduler": {"policy": "SCHED_OTHER", "nice": 1, "priority": 0, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
    "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
    "execCPUAffinity": {"initial": "0-1", "final": "0"},
    "user": {"uid": 5, "gid": 6, "umask": 18, "additionalGids": [7]},
}
_RESOURCES = {
    "devices": [{"allow": True, "type": "c", "major": 1, "minor": -1, "access": "rw"}],
    "memory": {
        "limit": 1 << 26,
        "reservation": 1 << 25,
        "swap": 1 << 27,
        "kernel": -1,
        "kernelTCP": -1,
        "swappiness": 5,
    },
    "cpu": {"shares": 512, "quota": 20000, "burst": 100, "period": 100000, "cpus": "0-1", "mems": "0"},
    "pids": {"limit": 100},
    "blockIO": {
        "weight": 100,
        "weightDevice": [{**_DEVICE, "weight": 300}],
        **{
            f"throttle{way}{what}Device": [{**_DEVICE, "rate": 1 << 20}]
            for way in ("Read", "Write")
            for what in ("Bps", "IOPS")
        },
    },
}
_ALL = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs"},
    "hostname": "h",
    "domainname": "d",
    "annotations": {"a": "b"},
    "hooks": _HOOKS,
    "process": _PROCESS,
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=5"]},
        {"destination": "/b", "type": "none", "source": "/src", "options": ["rbind", "ro"]},
    ],
}
_LINUX = {
    "namespaces": [{"type": kind} for kind in ("mount", "pid", "uts", "ipc", "time", "cgroup")]
    + [{"type": "network", "path": "/n"}],
    "timeOffsets": {clock: {"secs": 5, "nanosecs": 6} for clock in ("monotonic", "boottime")},
    "devices": [
        {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 438, "uid": 1, "gid": 2},
        {"type": "p", "path": "/dev/p"},
    ],
    "cgroupsPath": "/c",
    "sysctl": {"net.core.somaxconn": "1", "kernel.sem": "1 2 3 4"},
    "rootfsPropagation": "private",
    "mountLabel": "m",
    "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
    "maskedPaths": ["/proc/kcore", "/x"],
    "readonlyPaths": ["/proc/sys"],
    "personality": {"domain": "LINUX", "flags": []},
}
_SECCOMP = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "architectures": ["SCMP_ARCH_X86_64"],
    "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "listenerPath": "/s",
    "listenerMetadata": "m",
    "syscalls": [
        {
            "names": ["mkdir", "read"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 2,
            "args": [{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}],
        }
    ],
}


def _all_of_v1():
    return host(
        files=Everything(),
        has_apparmor=True,
        has_selinux=True,
        cgroups=Cgroups(
            v1(*V1, "name=systemd", "hugetlb", "net_cls", "net_prio", "rdma", "perf_event"),
            Hierarchy((), "/sys/fs/cgroup/unified", "/"),
        ),
    )


def _all_of_v2(**facts):
    return v2(files=Everything(), has_apparmor=True, has_selinux=True, **facts)


def _resctrl():
    return host(files=Everything(), has_apparmor=True, has_selinux=True, resctrl="/sys/fs/resctrl")


_V1 = with_changes(
    _ALL,
    linux={
        **_LINUX,
        "resources": {
            **_RESOURCES,
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1 << 21}],
            "rdma": {"mlx": {"hcaHandles": 1, "hcaObjects": 2}},
            "network": {"classID": 5, "priorities": [{"name": "lo", "priority": 3}]},
        },
    },
    linux__resources__cpu__realtimeRuntime=1,
    linux__resources__cpu__realtimePeriod=100,
    linux__resources__blockIO__leafWeight=100,
    linux__resources__blockIO__weightDevice=[{**_DEVICE, "weight": 300, "leafWeight": 200}],
)
_V2 = with_changes(
    _ALL,
    linux={
        **_LINUX,
        "resources": {
            **_RESOURCES,
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1 << 21}],
            "rdma": {"mlx": {"hcaHandles": 1, "hcaObjects": 2}},
            "unified": {"memory.high": "5", "cpu.max.burst": "1"},
        },
    },
    linux__resources__cpu__idle=0,
    linux__resources__cpu__burst=0,
)
_USER = with_changes(
    _ALL,
    linux={**_LINUX, **_MAPS, "resources": _RESOURCES},
    linux__namespaces=[{"type": kind} for kind in ("mount", "pid", "user", "network")],
    hostname=...,
    domainname=...,
    linux__timeOffsets=...,
    linux__devices=...,
    process__user={"uid": 0, "gid": 0},
    linux__sysctl={"net.core.somaxconn": "1"},
    mounts=[{"destination": "/m", "type": "none", "source": "/src", "options": ["bind", "idmap"], **_MAPS}],
)
_REST = with_changes(
    _ALL,
    linux={
        **_LINUX,
        "seccomp": _SECCOMP,
        "netDevices": {"eth1": {"name": "eth9"}},
        "intelRdt": {"closID": "c", "schemata": ["L3:0=f"], "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20"},
    },
    linux__namespaces=[{"type": kind} for kind in ("mount", "network")],
    hostname=...,
    domainname=...,
    linux__timeOffsets=...,
    linux__sysctl=...,
    process__scheduler={"policy": "SCHED_DEADLINE", "runtime": 10, "deadline": 20, "period": 30},
)
_SYSTEMD = {"linux__cgroupsPath": "a-b.slice:p:n"}

BASES = {
    "cgroup v1": (_V1, _all_of_v1, {}),
    "cgroup v2": (_V2, _all_of_v2, {}),
    "systemd": (
        with_changes(_V2, **_SYSTEMD, linux__resources__unified={"memory.high": "5"}),
        lambda: _all_of_v2(has_systemd=True),
        {"systemd_cgroup": "1"},
    ),
    "user namespace": (_USER, _all_of_v1, {}),
    "rootless": (
        with_changes(
            _USER, linux__resources=..., linux__mountLabel=..., process__apparmorProfile=..., process__selinuxLabel=...
        ),
        lambda: host(euid=1000, egid=1000, in_user_namespace=True, denies_setgroups=True, cgroups=Cgroups()),
        {},
    ),
    "the rest": (_REST, _resctrl, {}),
    **{
        path.stem: (with_changes(json.loads(path.read_text()), process__terminal=False), _all_of_v1, {})
        for path in sorted(DATA.glob("*.json"))
    },
}
"""Name -> a config, a function that makes its host, and words of the request. Together they have every field of the schema."""

NOT_VARIED = {"linux.personality.flags[]"}
"""Fields that no base has, because every value of them is refused."""


def fields(value=None, root=None, path=""):
    """The fields of the schema with a value other than true and false, like ``linux.devices[].major``; ``*`` is any
    key.
    """
    if value is None:
        value = root = schema.load("config")
    value, root = schema.resolve(value, root)
    if "properties" in value or "additionalProperties" in value:
        inner = dict(value.get("properties", {}))
        if "additionalProperties" in value:
            inner["*"] = value["additionalProperties"]
        for name, each in inner.items():
            yield from fields(each, root, f"{path}.{name}" if path else name)
    elif value.get("type") == "array":
        yield from fields(value["items"], root, path + "[]")
    elif value.get("type") != "boolean":
        yield path


def places(value, path=()):
    """Every place in a JSON value that can be varied: pairs of its path and its letter in a structure."""
    if (
        path
        and path[-1] in ("args", "env")
        and isinstance(value, list)
        and (len(path) < 2 or path[-2] == "process" or "hooks" in path)
    ):
        yield path, "L"
    elif path == ("annotations",):
        yield path, "R"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))
    elif isinstance(value, (str, int)) and not isinstance(value, bool):
        yield path, "s" if isinstance(value, str) else "i"


def put(members, place, value):
    """A copy of ``members`` with another value at ``place``; the rest is shared with ``members``."""
    copy = holder = dict(members) if isinstance(members, dict) else list(members)
    for step in place[:-1]:
        inner = holder[step]
        holder[step] = inner = dict(inner) if isinstance(inner, dict) else list(inner)
        holder = inner
    holder[place[-1]] = value
    return copy


class Creates:
    """Configs of one base, for create."""

    def __init__(self, core, name):
        self.core, self.name, self.folder = core, name, cache_folder()
        self.base, self.host, self.words = BASES[name]
        self.places = list(places(self.base))

    def compiled(self, members, id="c1", bundle="/bundle"):
        """Config and program, or the error if the config is refused."""
        try:
            config = parse(json.dumps(members).encode())
            return config, encoded(compile(config, request(id=id, bundle=bundle, **self.words), self.host()), BUILD)
        except OcirtError as error:
            return error

    def find(self, members, **names):
        return self.core.find(
            self.folder, json.dumps(members).encode(), systemd="systemd_cgroup" in self.words, **names
        )

    def keep(self, members):
        """Put the program of ``members`` into the cache, alone.

        :returns: whether the cache has it.
        """
        for entry in os.listdir(self.folder):
            os.unlink(self.folder / entry)
        place, found = self.find(members), self.compiled(members)
        if isinstance(found, tuple) and place[0]:
            cache.keep(*place, found[0], self.host(), found[1], BUILD)
        return bool(os.listdir(self.folder))

    def broken(self, members):
        """What is wrong with the program that these members find: a sentence, or ``None``. ``self.bound`` tells whether
        they found one.
        """
        found = self.find(members, id="other", bundle="/elsewhere")
        self.bound = isinstance(found, bytes)
        if not self.bound:
            return None
        right = self.compiled(members, id="other", bundle="/elsewhere")
        if isinstance(right, OcirtError):
            return f"bound, and refused by compile: {right}"
        return None if found == right[1].data else "the program bound is not the program compiled"


class Execs(Creates):
    """Process files for exec into a container of one base."""

    def __init__(self, core, name):
        super().__init__(core, name)
        self.container = json.dumps(self.base).encode()
        self.base = {key: value for key, value in self.base["process"].items() if key != "terminal"}
        self.places = [(place, "L" if place[-1] in ("args", "env") else letter) for place, letter in places(self.base)]

    def compiled(self, members, id="c1", bundle="/bundle"):
        words = {"verb": "exec", "id": id, "root": "/run/ocirt", "bundle": bundle, "process": "/p.json"}
        try:
            config = parse(self.container)
            self.own = parse_json(json.dumps(members).encode())[0]
            container = Request({**json.loads(CREATED), "id": id, "root": "/run/ocirt", "bundle": bundle})
            return config, encoded(
                compile_exec(config, container, self.own, ExecRequest(words, []), self.host()), BUILD
            )
        except OcirtError as error:
            return error

    def find(self, members, id="c1", bundle="/bundle"):
        return self.core.find_exec(
            self.folder,
            ["ocirt", "exec", "--process=/p.json", id],
            self.container,
            json.dumps(members).encode(),
            CREATED,
            bundle,
        )

    def keep(self, members):
        for entry in os.listdir(self.folder):
            os.unlink(self.folder / entry)
        place, found = self.find(members), self.compiled(members)
        if isinstance(found, tuple) and place[0]:
            cache.keep(*place, found[0], self.host(), found[1], BUILD, self.own)
        return bool(os.listdir(self.folder))


KINDS = [(Creates, name) for name in BASES] + [(Execs, name) for name in ("cgroup v1", "user namespace", "podman-042a")]


def every_field(work, share, chance):
    """Keep a base, and look it up with each unusual value in each place, or with one of ``share`` of them: pairs of
    configs.
    """
    if not work.keep(work.base):
        raise AssertionError(f"{work.name}: the base itself is not kept: {work.compiled(work.base)}")
    for place, letter in work.places:
        for value in ODD[letter]:
            if chance.randrange(share) == 0:
                yield work.base, put(work.base, place, value)


def any_pair(work, chance, count=40):
    """Keep a base with one or two unusual values, and look up others, some of which differ from it in one value."""

    def changed(members, most):
        for _ in range(chance.randint(1, most)):
            place, letter = chance.choice(work.places)
            members = put(members, place, chance.choice(ODD[letter]))
        return members

    first = changed(work.base, 2)
    if not work.keep(first):
        return
    for _ in range(count):
        yield first, changed(first if chance.randrange(3) else work.base, 3)


class Tally:
    """How many pairs were tried, how many were bound, and what broke the law."""

    def __init__(self):
        self.pairs = self.bound = 0
        self.broken = {}

    def add(self, work, pairs):
        for first, second in pairs:
            self.pairs += 1
            wrong = work.broken(second)
            self.bound += work.bound
            if wrong is not None:
                where = next((place for place, _ in work.places if at(first, place) != at(second, place)), ())
                self.broken.setdefault(
                    (type(work).__name__, work.name, where), (wrong, at(first, where), at(second, where))
                )

    def __str__(self):
        lines = [
            f"{kind} {name}: {'.'.join(map(str, where))}: {json.dumps(before)[:60]} kept, {json.dumps(after)[:60]} looked up: {wrong}\n"
            for (kind, name, where), (wrong, before, after) in self.broken.items()
        ]
        return (
            "".join(lines)
            + f"{self.pairs} pairs, {self.bound} of them bound, {len(self.broken)} fields that break the law"
        )


def compare(core, every, seconds, seed):
    """The :class:`Tally` of every place with one of ``every`` unusual values, and of random pairs until the
    time is up.
    """
    until, chance, tally = time.monotonic() + seconds, random.Random(seed), Tally()
    works = [kind(core, name) for kind, name in KINDS]
    try:
        for work in works:
            tally.add(work, every_field(work, every, chance))
        while time.monotonic() < until:
            work = chance.choice(works)
            tally.add(work, any_pair(work, chance))
    finally:
        for work in works:
            remove(work.folder)
    return tally


def at(members, place):
    for step in place:
        members = members[step]
    return members


if __name__ == "__main__":
    given_seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    with tempfile.TemporaryDirectory() as built:
        found = compare(Core(built), 10, float(sys.argv[1]), given_seed)
    print(f"seed {given_seed}: {found}")
    sys.exit(1 if found.broken else 0)
