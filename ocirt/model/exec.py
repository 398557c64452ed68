"""What exec asks for: its flags, and the process that results from config.json's and them, or from a process file."""

from ..errors import RequestError
from . import config
from .json import AT_PROCESS
from .request import Request
from .text import Number, Text, Texts, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .json import Json, Members
    from .request import Words
    from .text import AnyNumber, Trace

SETS = ("bounding", "permitted", "inheritable", "effective", "ambient")


class ExecRequest(Request):
    """The request to add a process to a container.

    :param words: as for a Request; a flag that can repeat has a list of values.
    :param command: the words after the id.

    :ivar process: the path of the process file, ``None`` without one; only then do the flags that change config.json's
        process count, as in runc.
    :ivar user: the numbers ``uid`` and, if given, ``gid``; or the flag's text if it has no numbers.
    :ivar additional_gids: numbers, or the texts that are no numbers.
    """

    __slots__ = (
        "command",
        "process",
        "cwd",
        "env",
        "tty",
        "user",
        "additional_gids",
        "cap",
        "no_new_privs",
        "apparmor",
        "process_label",
        "ignore_paused",
        "cgroup",
    )

    cwd: str | None
    process: str | None
    user: "dict[str, int] | str | None"
    apparmor: str | None
    process_label: str | None
    no_new_privs: str | None
    tty: bool
    ignore_paused: bool
    env: list[str]
    additional_gids: list[int | str]
    cap: list[str]
    cgroup: list[str]

    def __init__(self, words: "Words", command: list[str]) -> None:
        super().__init__(words)
        self.command = command
        for name in ("process", "cwd", "user", "apparmor", "process-label"):
            setattr(self, name.replace("-", "_"), words.get(name) or None)
        for name in ("tty", "ignore-paused"):
            setattr(self, name.replace("-", "_"), words.get(name) == "1")
        self.no_new_privs = words.get("no-new-privs")
        for name in ("env", "additional-gids", "cap", "cgroup"):
            setattr(self, name.replace("-", "_"), words.get(name, []))
        for variable in self.env:
            if not variable.partition("=")[1] or variable.startswith("="):
                raise RequestError(f"--env {quote(variable)}: expected NAME=VALUE")

    def beneath(self) -> dict[str, str]:
        """``--cgroup``: controller -> path below the container's cgroup, ``""`` for all controllers.

        :raises RequestError: a controller is named twice, or missing although the flag is repeated; or a path has
            ``..``.
        """
        found: dict[str, str] = {}
        for text in self.cgroup:
            names, colon, path = text.rpartition(":")
            if not colon and len(self.cgroup) > 1:
                raise RequestError(f"--cgroup {quote(text)}: expected CONTROLLER:CGROUP, because the flag is repeated")
            if ".." in path.split("/"):
                raise RequestError(f"--cgroup {quote(text)}: expected a path without ..")
            for name in names.split(","):
                if name in found or (colon and not name):
                    raise RequestError(
                        f"--cgroup {quote(text)}: expected each controller once, and none without a name"
                    )
                found[name] = path
        return found


class _Capabilities:
    """The capabilities of config.json with those of ``--cap``. As in runc they are ambient only if some are
    inheritable.
    """

    bounding: list[Text]
    permitted: list[Text]
    inheritable: list[Text]
    effective: list[Text]
    ambient: list[Text]

    def __init__(self, view: config.Capabilities, added: list[Text]) -> None:
        for name in SETS:
            found = getattr(view, name)
            if name != "inheritable" and (name != "ambient" or view.inheritable):
                found = found + added
            setattr(self, name, found)


class _User:
    """The user of config.json with ``--user`` and ``--additional-gids``."""

    uid: "AnyNumber | None"
    gid: "AnyNumber | None"

    def __init__(self, process: config.Process, request: ExecRequest, trace: "Trace") -> None:
        self.umask = process.user.umask
        self.uid, self.gid = process.user.uid, process.user.gid
        if isinstance(request.user, str):
            raise RequestError(f"--user {quote(request.user)}: expected UID or UID:GID, in numbers")
        if request.user is not None:
            self.uid = Number(request.user["uid"], "$user.uid", trace)
            if "gid" in request.user:
                self.gid = Number(request.user["gid"], "$user.gid", trace)
        self.additional_gids = [*process.user.additional_gids]
        for index, gid in enumerate(request.additional_gids):
            if isinstance(gid, str):
                raise RequestError(f"--additional-gids {quote(gid)}: expected the number of a group")
            self.additional_gids.append(Number(gid, f"$additional-gids[{index}]", trace))


class ExecProcess:
    """The process that exec adds, with the members of config.json's ``process``.

    With a process file it is that process, and takes limits, capabilities, labels, scheduling and umask that the file
    lacks from the container's. Without a file it is config.json's process, changed by the flags.

    :param own: the members of the process file, ``None`` without a file.
    :raises RequestError: the command is missing, or the flags cannot be used.
    """

    INHERITED = (
        "rlimits",
        "capabilities",
        "oomScoreAdj",
        "scheduler",
        "ioPriority",
        "execCPUAffinity",
        "apparmorProfile",
        "selinuxLabel",
    )
    """Properties that come from the container if the process file lacks them."""

    def __init__(self, container: config.Config, own: "Members | None", request: ExecRequest) -> None:
        self._container, self._request = container.process, request
        self._trace = container.trace
        self._own = None if own is None else config.Process(own, AT_PROCESS, self._trace)
        if own is not None:
            return
        if not request.command:
            raise RequestError("exec needs a command, or --process FILE")
        if not container.has("process"):
            raise RequestError("--process: found none, expected a file: the container's config.json has no process")

    def _of(self, name: str) -> config.Process:
        """The view that has the property ``name``: the file's, or the container's if the property is inherited."""
        if self._own is None or name in self.INHERITED and self._is_empty(self._own.value.get(name), name):
            return self._container
        return self._own

    def _is_empty(self, value: "Json", name: str) -> bool:
        """Is the property missing or empty in the process file?"""
        return (
            Text(value, f"{AT_PROCESS}.{name}", self._trace).is_empty()
            if isinstance(value, str)
            else value in (None, [])
        )

    def has(self, name: str) -> bool:
        if name in ("apparmorProfile", "selinuxLabel") and self._flag(name) is not None:
            return True
        return name == "user" or self._of(name).has(name)

    def _flag(self, name: str) -> Text | None:
        """The text of the flag that sets a label, ``None`` without the flag."""
        if self._own is not None:
            return None
        flag = {"apparmorProfile": "apparmor", "selinuxLabel": "process-label"}[name]
        value = getattr(self._request, flag.replace("-", "_"))
        return None if value is None else Text(value, f"${flag}", self._trace)

    @property
    def terminal(self) -> bool:
        return self._request.tty if self._own is None else self._own.terminal

    @property
    def console_size(self) -> config.ConsoleSize:
        return self._of("consoleSize").console_size

    @property
    def cwd(self) -> Text:
        if self._own is None and self._request.cwd is not None:
            return Text(self._request.cwd, "$cwd", self._trace)
        return self._of("cwd").cwd

    @property
    def env(self) -> list[Texts]:
        env = self._of("env").env
        found = [] if env is None else [env]
        if self._own is None and self._request.env:
            found.append(Texts(self._request.env, "$env", self._trace))
        return found

    @property
    def args(self) -> Texts:
        if self._own is None:
            return Texts(self._request.command, "$command", self._trace)
        return self._own.args

    @property
    def rlimits(self) -> list[config.Rlimit]:
        return self._of("rlimits").rlimits

    @property
    def capabilities(self) -> config.Capabilities | _Capabilities:
        view = self._of("capabilities").capabilities
        if self._own is not None or not self._request.cap:
            return view
        return _Capabilities(
            view, [Text(name, f"$cap[{index}]", self._trace) for index, name in enumerate(self._request.cap)]
        )

    @property
    def no_new_privileges(self) -> bool:
        asked = self._request.no_new_privs if self._own is None else None
        return self._of("noNewPrivileges").no_new_privileges if asked is None else asked == "1"

    @property
    def oom_score_adj(self) -> Number | None:
        return self._of("oomScoreAdj").oom_score_adj

    @property
    def scheduler(self) -> config.Scheduler:
        return self._of("scheduler").scheduler

    @property
    def io_priority(self) -> config.IoPriority:
        return self._of("ioPriority").io_priority

    @property
    def exec_cpu_affinity(self) -> config.ExecCpuAffinity:
        return self._of("execCPUAffinity").exec_cpu_affinity

    @property
    def apparmor_profile(self) -> Text | None:
        flag = self._flag("apparmorProfile")
        return self._of("apparmorProfile").apparmor_profile if flag is None else flag

    @property
    def selinux_label(self) -> Text | None:
        flag = self._flag("selinuxLabel")
        return self._of("selinuxLabel").selinux_label if flag is None else flag

    @property
    def user(self) -> "_User | _FileUser":
        if self._own is None:
            return _User(self._container, self._request, self._trace)
        return _FileUser(self._own, self._container)


class _FileUser:
    """The user of a process file; the umask is the container's if the file has none."""

    uid: "AnyNumber | None"
    gid: "AnyNumber | None"

    def __init__(self, own: config.Process, container: config.Process) -> None:
        self.uid, self.gid = own.user.uid, own.user.gid
        self.additional_gids = own.user.additional_gids
        self.umask = container.user.umask if own.user.umask is None else own.user.umask
