"""Steps that restrict the program further, by Landlock and core scheduling."""

from .base import Step


class OpenDirectory(Step):
    """Open the directory ``path`` of the container, for AllowBeneath."""

    sections = ("init", "exec_program")
    fields = {"fd": "fills", "path": "text"}
    sentence = "open the directory {path}"
    call = "openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC)"


class MakeLandlockRuleset(Step):
    """Make a Landlock ruleset that refuses the rights ``fs`` (LANDLOCK_ACCESS_FS_*) and ``net``
    (LANDLOCK_ACCESS_NET_*) except where a rule allows them, and what leaves the scopes ``scoped``
    (LANDLOCK_SCOPE_*)."""

    sections = ("init", "exec_program")
    fields = {"fd": "fills", "fs": "number", "net": "number", "scoped": "number"}
    sentence = "make a Landlock ruleset"
    call = "landlock_create_ruleset({u64 fs, u64 net, u64 scoped}, 3 * sizeof(uint64_t), 0)"


class AllowBeneath(Step):
    """Allow the rights ``access`` in ``directory`` and everything below it."""

    sections = ("init", "exec_program")
    fields = {"ruleset": "fd", "access": "number", "directory": "fd", "path": "text"}
    sentence = "allow access to {path} in the Landlock ruleset"
    call = "landlock_add_rule(ruleset, LANDLOCK_RULE_PATH_BENEATH, {u64 access, i32 directory}, 0)"


class AllowPort(Step):
    """Allow the rights ``access`` (LANDLOCK_ACCESS_NET_*) for the TCP port ``port``. ``kind`` is
    LANDLOCK_RULE_NET_PORT."""

    sections = ("init", "exec_program")
    fields = {"ruleset": "fd", "kind": "number", "access": "number", "port": "number"}
    sentence = "allow a TCP port in the Landlock ruleset"
    call = "landlock_add_rule(ruleset, kind, {u64 access, u64 port}, 0)"


class RestrictByLandlock(Step):
    """Apply the ruleset to this process and its children, for good."""

    sections = ("init", "exec_program")
    fields = {"ruleset": "fd"}
    sentence = "apply the Landlock ruleset"
    call = "landlock_restrict_self(ruleset, 0)"


class MakeCoreCookie(Step):
    """Have this process and its children share processor cores only with each other (core scheduling)."""

    sections = ("init",)
    fields = {}
    sentence = "ask for cores of its own (this kernel or this processor has no core scheduling)"
    call = "prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD_GROUP, 0)"


class ShareCoreCookie(Step):
    """Let this process share processor cores with the container's first process."""

    sections = ("stage",)
    fields = {}
    sentence = "share the container's cores"
    call = "prctl(PR_SCHED_CORE, PR_SCHED_CORE_SHARE_FROM, r->container->journal->pid, PR_SCHED_CORE_SCOPE_THREAD, 0)"
