"""What a sandbox is: its description, from which config.json is made for each run."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..errors import ConfigError, reason
from . import arguments
from .arguments import Size
from .inside import absolute
from .limits import Limits, checked
from .network import Networking, applied
from .program import Program, User, with_group
from .runtime import Runtime
from .sandbox import BIND_OPTIONS, NOBODY, sandbox
from .submounts import readonly_binds

LOWER, SIZE, SCRATCH = "org.ocirt.rootfs.lower", "org.ocirt.rootfs.size", "org.ocirt.rootfs.scratch"
OVERLAYS, RECEIVER = "org.ocirt.rootfs.overlays", "org.ocirt.rootfs.receiver"
LATER, REAP = "org.ocirt.rootfs.later", "org.ocirt.rootfs.reap"
SCRATCH_BESIDE_DISK = 64 << 20
"""Bytes of /dev/shm, and of /tmp if the root is read-only, for a sandbox whose changes lie on disk."""
EXPECTED = "an ocirt.Image, or a directory with a root file system"
INITIAL_MAP = ["0", "0", "4294967295"]


class HasLayers(Protocol):
    """An image: :class:`ocirt.Image`."""

    @property
    def layers(self) -> Sequence[str]: ...

    @property
    def config(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or directory of the host in a sandbox, with all mounts below it.

    :ivar source: its path on the host.
    :ivar writable: may programs change it? What they change is changed on the host.
    :ivar recursive: are the mounts below it there, too?
    """

    source: str | os.PathLike[str]
    writable: bool = False
    recursive: bool = True

    def options(self) -> list[str]:
        """The options of the mount in config.json."""
        if self.writable:
            return ["rbind" if self.recursive else "bind", "rw", "rnosuid", "rnodev", "rprivate"]
        return BIND_OPTIONS if self.recursive else ["bind", "ro", "nosuid", "nodev", "rprivate"]


@dataclass(frozen=True, slots=True)
class Copy:
    """A directory of the host in a sandbox, which programs may change: the host's directory does not change before
    ``apply()`` of a run's changes. Nothing is copied: the changes lie in an overlay. Nobody may change the directory on
    the host while a sandbox uses it.

    :ivar source: its path on the host.
    """

    source: str | os.PathLike[str]


class Presets:
    """Arguments of :class:`Sandbox` that fit some kinds of programs: ``Sandbox(image, **Sandbox.presets.python)``."""

    @property
    def python(self) -> dict[str, Any]:
        """For CPython: output without delay, and no files of bytecode."""
        env = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
        return {"memory": "512m", "processes": 64, "cpus": 1.0, "env": env}

    @property
    def node(self) -> dict[str, Any]:
        """For Node.js: more memory and threads, and npm's cache in /tmp."""
        env = {"NO_UPDATE_NOTIFIER": "1", "npm_config_cache": "/tmp/.npm"}
        return {"memory": "1g", "processes": 128, "cpus": 1.0, "disk": "256m", "env": env}

    @property
    def shell(self) -> dict[str, Any]:
        """For shell scripts and small tools."""
        return {"memory": "128m", "processes": 32, "cpus": 1.0, "env": {"LC_ALL": "C.UTF-8"}}


class Description:
    """The description of a sandbox; :class:`ocirt.Sandbox` has the arguments."""

    presets = Presets()

    def __init__(
        self,
        rootfs: str | os.PathLike[str] | HasLayers,
        *,
        memory: Size | None = 256 << 20,
        cpus: float | None = 1.0,
        processes: int | None = 64,
        disk: Size = 64 << 20,
        disk_in: str | os.PathLike[str] | None = None,
        timeout: float | None = 60,
        files: Mapping[str, bytes | str | Bind | Copy] | None = None,
        readonly: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: User = NOBODY,
        open_files: int = 1024,
        hostname: str = "sandbox",
        net: Networking = "none",
        landlock: Sequence[str] = (),
        coresched: bool = False,
        cgroup: str | None = None,
        limits: Limits = "required",
        runtime: Runtime | None = None,
    ) -> None:
        """Describe a sandbox. Nothing happens until it runs.

        :param rootfs: an :class:`ocirt.Image`, or a directory with a root file system, which is never changed.
        :param memory: bytes, a number or text like ``"64m"``, those in files of ``disk`` included. ``None``: no limit.
        :param cpus: seconds of CPU time in each second. ``None``: no limit.
        :param processes: the most processes and threads. ``None``: no limit.
        :param disk: the most bytes of what programs write, in memory.
        :param disk_in: a directory where that lies instead of in memory, of a file system with project quotas. Only root
            may set these.
        :param timeout: seconds for a run. ``None``: no limit.
        :param files: what is put into the sandbox, by paths in it: the content of a file, as bytes or text; a
            :class:`ocirt.Bind`; a :class:`ocirt.Copy`.
        :param readonly: programs may write to /tmp and to each ``Copy`` alone.
        :param env: environment variables, in addition to those of the image, PATH and ``HOME=/tmp``.
        :param cwd: the working directory; by default that of the image, or /tmp.
        :param user: the number of the user, and of the group if it is alone: ``1000``, ``(1000, 100)`` or ``"1000:100"``. The
            user has no capability, even if it is 0. Without root's rights it is 0, which is the caller.
        :param open_files: the most open files of a process.
        :param hostname: the host's name in the sandbox.
        :param net: ``"none"``: only a loopback of its own; ``"host"``: the host's network; or :class:`ocirt.Net`, which
            says what the programs reach.
        :param landlock: as for :func:`ocirt.sandbox`.
        :param coresched: as for :func:`ocirt.sandbox`.
        :param cgroup: ``linux.cgroupsPath``, the directory of the cgroups; each run has one in it.
        :param limits: as for :func:`ocirt.run`.
        :param runtime: the executable, and where it keeps containers; by default the installed one.
        :raises RequestError: an argument cannot be used.
        :raises HostError: the host cannot give the sandbox this network.
        """
        self.runtime, self.net = runtime, net
        self.timeout = None if timeout is None else arguments.seconds("timeout", timeout)
        self.limits, self.readonly = checked(limits), readonly
        self._image, self.layers = _image(rootfs)
        self.disk = arguments.size("disk", disk, 1)
        self.disk_in = None if disk_in is None else os.path.realpath(disk_in)
        self._user = with_group("user", user) if os.geteuid() == 0 else (0, 0)
        self._given: dict[str, Any] = {
            "memory": memory,
            "cpus": cpus,
            "processes": processes,
            "files": arguments.count("open_files", open_files),
            "hostname": hostname,
            "scratch": self.disk if disk_in is None else SCRATCH_BESIDE_DISK,
            "landlock": landlock,
            "coresched": coresched,
        }
        self._cgroup = None if cgroup is None else arguments.cgroup("cgroup", cgroup)
        inside = self._image.get("config") or {}
        self._env = _env(inside.get("Env") or ()) | arguments.variables("env", env)
        self._cwd = (inside.get("WorkingDir") or "/tmp") if cwd is None else arguments.directory("cwd", cwd)
        self._default = [*(inside.get("Entrypoint") or ()), *(inside.get("Cmd") or ())] or ["sh"]
        self.base: object = None
        self.content: dict[str, bytes] = {}
        self.binds: dict[str, Bind] = {}
        self.copies: dict[str, tuple[str, ...]] = {}
        self._take(files or {})
        self.config()  # an argument that cannot be used is an error here

    def _take(self, files: Mapping[str, bytes | str | Bind | Copy]) -> None:
        if not isinstance(files, Mapping):
            raise arguments.wrong("files", files, "a dict, like {'/in/data.csv': b'...'}")
        for given, value in files.items():
            if not isinstance(given, str) or not given.startswith("/"):
                raise arguments.wrong(
                    f"files[{given!r}]", given, "an absolute path in the sandbox, like '/in/data.csv'"
                )
            path, name = absolute(given), f"files[{given!r}]"
            if path == "/" or (given.endswith("/") and isinstance(value, (bytes, str))):
                raise arguments.wrong(name, given, "the path of a file or a directory below the sandbox's root")
            if isinstance(value, Bind):
                self.binds[path] = replace(value, source=_source(name, value, "a file or directory"))
            elif isinstance(value, Copy):
                source = os.path.realpath(_source(name, value, "a directory"))
                if not os.path.isdir(source):
                    raise arguments.wrong(name, value, f"a directory of the host; {source} is none")
                self.copies[path] = (source,)
            elif isinstance(value, (bytes, str)):
                self.content[path] = arguments.content(name, value)
            else:
                raise arguments.wrong(name, value, "bytes, text, ocirt.Bind(...) or ocirt.Copy(...)")

    @property
    def user(self) -> tuple[int, int]:
        """uid and gid of the programs."""
        return self._user

    @staticmethod
    def user_of(user: User | None) -> tuple[int, int] | None:
        """uid and gid of a program for which a call names this user; ``None`` if it names none.

        :raises RequestError: it is no user, or one that the sandbox does not have.
        """
        if user is None:
            return None
        found = with_group("user", user)
        if os.geteuid() != 0 and found != (0, 0):
            raise arguments.wrong("user", user, "0, which is the caller: without root's rights a sandbox has no other")
        return found

    def owner(self, program: Program | None) -> tuple[int, int]:
        """uid and gid of a program."""
        if program is None or program.user is None:
            return self._user
        uid, gid = program.user
        return uid, uid if gid is None else gid

    def config(self, args: Sequence[str] | None = None) -> dict[str, Any]:
        """The config.json of a run, as a dict.

        :param args: the program and its arguments, as a list; by default those of the image, or ``["sh"]``.
        """
        return self.config_of(None if args is None else Program.of(args))

    def config_of(self, program: Program | None) -> dict[str, Any]:
        """The same for a program that a call describes."""
        cgroup = None if self._cgroup is None else posixpath.join(self._cgroup, os.urandom(8).hex())
        program = program or Program.of(self._default)
        uid, gid = self.owner(program)
        found = sandbox(
            program.args,
            env=self._env | program.env,
            cwd=program.cwd or self._cwd,
            uid=uid,
            gid=gid,
            cgroup=cgroup,
            **self._given,
        )
        # Of two variables with one name, the program would see the first.
        found["process"]["env"] = [f"{name}={value}" for name, value in _env(found["process"]["env"]).items()]
        if program.terminal is not None:
            rows, columns = program.terminal
            found["process"] |= {"terminal": True, "consoleSize": {"height": rows, "width": columns}}
        found["root"] = {"path": self.layers[0], "readonly": self.readonly}
        mounts = found["mounts"]
        if not self.readonly:
            mounts = [each for each in mounts if each["destination"] != "/tmp"]
        marks = ["userxattr"] if self.is_in_user_namespace else ["redirect_dir=off", "metacopy=off"]
        mounts += [
            {"destination": path, "type": "overlay", "source": "overlay", "options": [*_overlay(number, lower), *marks]}
            for number, (path, lower) in enumerate(self.copies.items(), 1)
        ]
        mounts += [
            {"destination": path, "type": "bind", "source": bind.source, "options": bind.options()}
            for path, bind in self.binds.items()
        ]
        places = [str(each["destination"]) for each in mounts]
        # An overlay does not show the mounts below its layers.
        found["mounts"] = readonly_binds(self.layers[-1], places) + mounts
        found["annotations"] = {
            **found.get("annotations", {}),
            LOWER: ":".join([_escaped(layer) for layer in self.layers]),
            SIZE: str(self.disk),
            OVERLAYS: str(1 + len(self.copies)),
        }
        return applied(self.net, found)

    @property
    def is_in_user_namespace(self) -> bool:
        """Will overlays be mounted in a user namespace?"""
        with open("/proc/self/uid_map") as file:
            return os.geteuid() != 0 or file.read().split() != INITIAL_MAP

    def plan(self, args: Sequence[str] | None = None) -> str:
        """What happens in a run, one line for each step.

        :param args: the program and its arguments, as a list.
        :raises OcirtError: the sandbox cannot be made.
        """
        import json

        from ..compile import compile
        from ..model.config import parse
        from ..model.host import Host
        from ..model.request import Request
        from ..plan.encode import BUILD_SIZE, encode
        from ..plan.printer import plan_lines

        runtime = self.runtime or Runtime()
        config = self.config(args)
        config["annotations"][RECEIVER] = os.path.join(runtime.root, ",SOCKET")
        words = {"verb": "run", "id": "ID", "bundle": self.layers[0], "root": runtime.root, "rootfs-annotations": "1"}
        words["hardening-annotations"] = "1"
        words["cgroup-manager"] = runtime.cgroup_manager
        if "XDG_RUNTIME_DIR" in runtime.environment:
            words["runtime-dir"] = runtime.environment["XDG_RUNTIME_DIR"]
        plan = compile(parse(json.dumps(config).encode()), Request(words), Host())
        encode(plan, "0" * BUILD_SIZE)
        return "".join([line + "\n" for line in plan_lines(plan)])


def _image(rootfs: str | os.PathLike[str] | HasLayers) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The image's config, and the directories of the root file system, the topmost first."""
    if isinstance(rootfs, (str, os.PathLike)):
        if not os.fspath(rootfs):  # it would be the current directory
            raise arguments.wrong("rootfs", rootfs, EXPECTED)
        path = os.path.realpath(rootfs)
        if not os.path.isdir(path):
            raise ConfigError("root.path", path, f"{EXPECTED}; ocirt.Image.find(NAME) has one by its name")
        return {}, (path,)
    if not hasattr(rootfs, "layers"):
        raise arguments.wrong("rootfs", rootfs, EXPECTED)
    return rootfs.config, tuple(rootfs.layers)


def _source(name: str, value: Bind | Copy, kind: str) -> str:
    """The absolute path of what is shown. The runtime opens it again at each run, and refuses what is not there then.

    :raises RequestError: it is no path, or the caller cannot reach it.
    """
    given = os.fspath(value.source) if isinstance(value.source, os.PathLike) else value.source
    if not isinstance(given, str) or not given or "\0" in given:
        raise arguments.wrong(name, value, f"the path of {kind} of the host")
    source = os.path.abspath(given)
    try:
        os.stat(source)
    except OSError as error:
        raise arguments.wrong(name, value, f"{kind} of the host that exists; {source}: {reason(error)}") from None
    return source


def _env(values: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in values]
    return {name: value for name, _, value in pairs}


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:")


def _overlay(number: int, lower: Sequence[str]) -> list[str]:
    """The options of the overlay of a Copy."""
    layers = ":".join([_escaped(each) for each in lower])
    return [f"lowerdir={layers}", f"upperdir={number}/upper", f"workdir={number}/work"]
