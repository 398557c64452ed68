"""Steps that make, join and set up namespaces."""

from .base import Step


class OpenNamespace(Step):
    """Open the namespace file ``path`` into ``fd`` and check that it is of kind ``kind`` (a CLONE_NEW*
    flag)."""

    sections = ("host", "init")
    fields = {"fd": "fills", "path": "text", "kind": "number"}
    sentence = "open namespace {path}"


class AssertNotHostNamespace(Step):
    """Fail if the register's namespace is the runtime's own (/proc/self/ns/``file``), because what the
    container sets in it would be set on the host."""

    sections = ("host",)
    fields = {"fd": "fd", "file": "text"}
    sentence = "check that the namespace is not the host's"


class DenySetgroups(Step):
    """Write ``deny`` to /proc/PID/setgroups of the child."""

    sections = ("host",)
    fields = {}
    sentence = "deny setgroups in the user namespace"
    call = "write(/proc/CHILD/setgroups, 'deny')"


class WriteIdMap(Step):
    """Write ``map`` (lines of container id, host id, size) to ``file`` (uid_map or gid_map) of the child."""

    sections = ("host",)
    fields = {"file": "text", "map": "text"}
    sentence = "write the {file} of the user namespace"
    call = "write(/proc/CHILD/{file}, map)"


class RunMapHelper(Step):
    """Run the set-uid program ``helper`` (newuidmap, newgidmap) to write a map of the child's user namespace. The
    program is taken from the first of ``folders`` that has it. Its arguments are the child's pid and ``ranges``:
    container id, host id and size of each range."""

    sections = ("host",)
    fields = {"helper": "text", "folders": "texts", "ranges": "texts"}
    sentence = "have {helper} write the map of the user namespace"
    doing = "helper"


class JoinNamespace(Step):
    """Join the register's namespace, which is of kind ``kind`` (setns(2)). With ``retry_later`` 1 the step leaves
    EPERM to a later JoinNamespace of the same register, after the user namespace has been joined. A join that
    has succeeded is not repeated."""

    sections = ("stage", "init")
    fields = {"fd": "fd", "kind": "number", "retry_later": "number"}
    defaults = {"retry_later": 0}
    sentence = "join the namespace"


class JoinContainer(Step):
    """Join the namespaces ``flags`` (CLONE_NEW*) of the container's first process, all at once, by its pidfd
    (setns(2)). The pid namespace applies to children only."""

    sections = ("stage", "in_criu_netns", "in_restored_mntns")
    fields = {"flags": "number"}
    sentence = "join the namespaces of the container"


class Unshare(Step):
    """Call unshare(2) with ``flags``."""

    sections = ("stage", "init")
    fields = {"flags": "number"}
    sentence = "create namespaces"
    call = "unshare(flags)"


class WriteTimeOffsets(Step):
    """Write ``offsets`` (lines of clock, seconds, nanoseconds) to the procfs file timens_offsets of this
    process."""

    sections = ("stage",)
    fields = {"offsets": "text"}
    sentence = "set the offsets of the time namespace"
    call = "write(/proc/self/timens_offsets, offsets)"


class BecomeRoot(Step):
    """Become uid 0 and gid 0 of the user namespace, without supplementary groups if setgroups is allowed."""

    sections = ("stage", "init")
    fields = {}
    sentence = "become root of the user namespace"


class NewKeyring(Step):
    """Join a new session keyring called ``name``; an exec joins the container's, which create has given this
    name. If another user has made a keyring of this name, the step never joins it: the new keyring then has no
    name. A kernel without keyrings is no error."""

    sections = ("init",)
    fields = {"name": "text"}
    sentence = "make the session keyring {name}"


class SetHostname(Step):
    """Set the hostname (sethostname(2))."""

    sections = ("init",)
    fields = {"name": "text"}
    sentence = "set the hostname to {name}"
    call = "sethostname(name, size(name))"


class SetDomainname(Step):
    """Set the domain name (setdomainname(2))."""

    sections = ("init",)
    fields = {"name": "text"}
    sentence = "set the domain name to {name}"
    call = "setdomainname(name, size(name))"


class BeginNetwork(Step):
    """Start a thread that makes a network namespace, brings its interface ``lo`` up, and ends. The thread alone is in the new
    namespace."""

    sections = ("host",)
    fields = {}
    sentence = "begin to make the network namespace"


class TakeNetwork(Step):
    """Wait for the thread of BeginNetwork, and put its network namespace into ``fd``. If a Spawn is retried, the first child has
    got that namespace, and the step makes another one in the same way."""

    sections = ("host",)
    fields = {"fd": "fills"}
    sentence = "make the network namespace"
    doing = "wait"


class LoopbackUp(Step):
    """Bring the interface ``lo`` of this network namespace up."""

    sections = ("init", "in_criu_netns")
    fields = {}
    sentence = "bring up the loopback interface"
