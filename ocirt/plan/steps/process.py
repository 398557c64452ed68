"""Steps that make init the program of the container."""

from .base import NONE, Step


class SetOomScore(Step):
    """Write ``value`` to /proc/self/oom_score_adj while the process still has the caller's rights. Its children
    inherit the value."""

    sections = ("stage", "init")
    fields = {"value": "text"}
    sentence = "set oom_score_adj to {value}"
    call = "write(/proc/self/oom_score_adj, value)"


class SetAffinity(Step):
    """Set the CPU affinity of this process to the bit mask ``cpus``, in words of 64 bits
    (sched_setaffinity(2))."""

    sections = ("stage", "init")
    fields = {"cpus": "bytes"}
    sentence = "set the CPU affinity"
    call = "sched_setaffinity(0, size(cpus), cpus)"


class ResetAffinity(Step):
    """Set the CPU affinity of this process to every CPU; the kernel keeps those of the cpuset
    (sched_setaffinity(2)). If that is forbidden, the affinity does not change."""

    sections = ("stage", "init")
    fields = {}
    sentence = "reset the CPU affinity"


class SetDumpable(Step):
    """Set whether this process is dumpable (PR_SET_DUMPABLE)."""

    sections = ("stage", "init")
    fields = {"value": "number"}
    sentence = "set whether the process is dumpable"
    call = "prctl(PR_SET_DUMPABLE, value, 0, 0, 0)"


class SetRlimit(Step):
    """Set a resource limit (prlimit(2)); ``soft`` and ``hard`` are 64-bit patterns (-1 is no limit)."""

    sections = ("init", "exec_program")
    fields = {"resource": "number", "soft": "number", "hard": "number", "name": "text"}
    sentence = "set {name}"
    call = "prlimit(0, resource, {u64 soft, u64 hard}, 0)"
    explained = True


class RaiseLimit(Step):
    """If the hard limit of ``resource`` is below ``hard``, raise it to that: in the host section that of the child,
    otherwise that of this process. It runs where the runtime's rights count, outside of the container's user
    namespace, and before SetRlimit, which reports a limit that could not be raised."""

    sections = ("host", "stage")
    fields = {"resource": "number", "hard": "number", "name": "text"}
    sentence = "raise the hard limit of {name}"


class RestoreOpenFiles(Step):
    """Give this process the soft RLIMIT_NOFILE with which the caller started the runtime. The runtime raises
    its own."""

    sections = ("init", "exec_program")
    fields = {}
    sentence = "restore the caller's RLIMIT_NOFILE"


class SetScheduler(Step):
    """Call sched_setattr(2) with a struct sched_attr of these fields."""

    sections = ("init",)
    fields = {
        "policy": "number",
        "flags": "number",
        "nice": "number",
        "priority": "number",
        "runtime": "number",
        "deadline": "number",
        "period": "number",
        "name": "text",
    }
    sentence = "set the scheduling policy {name}"
    call = (
        "sched_setattr(0, {u32 size, u32 policy, u64 flags, i32 nice, u32 priority, "
        "u64 runtime, u64 deadline, u64 period}, 0)"
    )


class SetIoPriority(Step):
    """Set the I/O priority of this process (ioprio_set(2)); ``value`` holds class and priority,
    IOPRIO_PRIO_VALUE."""

    sections = ("init",)
    fields = {"value": "number"}
    sentence = "set the I/O priority"
    call = "ioprio_set(IOPRIO_WHO_PROCESS, 0, value)"


class SetPersonality(Step):
    """Set the execution domain (personality(2))."""

    sections = ("init",)
    fields = {"domain": "number"}
    sentence = "set the execution domain"
    call = "personality(domain)"


class SetUmask(Step):
    """Set the umask."""

    sections = ("init", "exec_program")
    fields = {"mask": "number"}
    sentence = "set the umask"
    call = "umask(mask)"


class SetMemoryPolicy(Step):
    """Set the memory policy (set_mempolicy(2)) to ``mode`` (MPOL_*, called ``name``, and MPOL_F_* flags) and
    the bit mask ``nodes``, in words of 64 bits; an empty mask has no node."""

    sections = ("init",)
    fields = {"mode": "number", "nodes": "bytes", "name": "text"}
    sentence = "set the memory policy {name}"
    call = "set_mempolicy(mode, nodes, bits(nodes))"
    hints = {
        "EINVAL": "/sys/devices/system/node/possible lists this kernel's nodes; an old kernel does not know every mode and flag"
    }


class DropBounding(Step):
    """Drop every capability that is not a bit of ``keep`` from the bounding set."""

    sections = ("init", "exec_program")
    fields = {"keep": "number"}
    sentence = "drop capabilities from the bounding set"


class SetUser(Step):
    """Give the standard streams to ``uid``, then set the supplementary groups (decimal ``groups``), gid and
    uid, and keep the capabilities for SetCapabilities. With ``setgroups`` 0 the groups do not change."""

    sections = ("init", "exec_program")
    fields = {"uid": "number", "gid": "number", "groups": "texts", "setgroups": "number"}
    defaults = {"setgroups": 1}
    sentence = "become the container's user"


class SetCapabilities(Step):
    """Set the capabilities (capset(2) and the ambient set); each field is a bit set."""

    sections = ("init", "exec_program")
    fields = {"effective": "number", "permitted": "number", "inheritable": "number", "ambient": "number"}
    sentence = "set capabilities"


class SetNoNewPrivileges(Step):
    """Set no_new_privs (prctl(2))."""

    sections = ("init", "exec_program")
    fields = {}
    sentence = "set no_new_privs"
    call = "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)"


class CloseDescriptors(Step):
    """Close all descriptors from 3 + ``preserve`` on, except those by which the process talks to the runtime,
    the rootfs, and the registers ``keep``, ``stdout`` and ``stderr``."""

    sections = ("init",)
    fields = {"preserve": "number", "keep": "fd", "stdout": "fd", "stderr": "fd"}
    defaults = {"keep": NONE, "stdout": NONE, "stderr": NONE}
    sentence = "close descriptors that the program does not get"


class ChangeDirectory(Step):
    """Change to the directory ``path`` and check that it lies inside the root. With ``retry_later`` 1, permission
    denied is left to the later ChangeDirectory, which runs as the container's user; the later one may be denied
    if the first one was not."""

    sections = ("init", "exec_program")
    fields = {"path": "text", "retry_later": "number"}
    defaults = {"retry_later": 0}
    sentence = "change to the directory {path}"


class FindHome(Step):
    """Find HOME of ``uid`` in /etc/passwd if it is missing or empty in ``env``."""

    sections = ("init", "exec_program")
    fields = {"uid": "number", "env": "texts"}
    sentence = "find the user's home"


class FindExecutable(Step):
    """Find the first entry of ``args`` on the PATH of ``env``, so that create fails if start would, and make
    the program's environment. If ``env`` has several entries for one variable, the last one counts; HOME is
    what FindHome has found."""

    sections = ("init", "exec_program")
    fields = {"args": "texts", "env": "texts"}
    sentence = "find the program"


class BindLate(Step):
    """Take from ``start`` what ``create --late`` has left open: the list ``args``, entries in the place of the last one
    of ``env``, the directory ``cwd`` (unless it is empty) and the standard streams. All later steps that have the same
    fields use the new values."""

    sections = ("exec_program",)
    fields = {"args": "texts", "env": "texts", "cwd": "text"}
    sentence = "take the program from start"


class SetChildAction(Step):
    """Set the action of SIGCHLD to ``handler`` (rt_sigaction(2)). With SIG_IGN (1) the kernel reaps the children of this
    process. The other fields complete the kernel's structure."""

    sections = ("init", "exec_program")
    fields = {"handler": "number", "flags": "number", "restorer": "number", "mask": "number"}
    defaults = {"flags": 0, "restorer": 0, "mask": 0}
    sentence = "set the action of SIGCHLD to {handler}"
    call = "rt_sigaction(SIGCHLD, {u64 handler, u64 flags, u64 restorer, u64 mask}, 0, sizeof(uint64_t))"


class KeepInit(Step):
    """Fork. The child continues with the next step and becomes the program; this process stays as an init that
    forwards signals to the child, reaps orphans and exits with the child's status."""

    sections = ("exec_program",)
    fields = {}
    sentence = "fork the program from the init"


class PrepareExec(Step):
    """Make the system calls that Exec needs, because a seccomp filter may forbid them later: reset signals, and
    have execve close the descriptors from 3 + ``preserve`` on."""

    sections = ("init", "exec_program")
    fields = {"preserve": "number"}
    sentence = "prepare to execute the program"


class Exec(Step):
    """Set the phase to running (in the journal; an exec has a phase of its own), and execute the program that
    FindExecutable found, with the environment that it made. execve is the only system call of this step."""

    sections = ("init", "exec_program")
    fields = {"args": "texts"}
    sentence = "execute the program"
