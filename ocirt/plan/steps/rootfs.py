"""Steps on the rootfs: how it becomes the root, and what is made and hidden in it.

A path in the rootfs is resolved as :mod:`.mounts` says.
"""

from .base import NONE, Step


class OpenProc(Step):
    """Open the procfs at /proc of this process' mount namespace, for the WriteProc steps of this process and
    its children."""

    sections = ("stage",)
    fields = {}
    sentence = "open /proc"


class OpenRootfs(Step):
    """Clone the mounts at ``path`` (a host path) and attach the clone over ``path``: the clone is the rootfs.

    With ``recursive`` 1 the clone includes the mounts beneath. With ``private_mntns`` 1 the step works in a new mount
    namespace, which lasts until ChangeRoot. With a register ``tree`` the clone is what OpenMount has put there, if anything;
    if init cannot reach ``path``, the step attaches the clone over ``/``. A register ``null`` holds the host's
    null device, with which MaskPath covers files; without it the step opens the device.

    With ``alone`` 1 the step makes the container's mount namespace, with nothing in it but the clone, which is
    the root directory then (open_tree(2), OPEN_TREE_NAMESPACE). What init takes from the host after that it opens
    in the runtime's mount namespace, unless there is a ``tree``. All these mounts get the ``propagation`` (an MS_*
    flag). If the kernel refuses (before Linux 7.0, or because of a seccomp filter), the namespace is a copy of the
    runtime's, with that propagation, and the step does what it does without ``alone``.
    """

    sections = ("stage", "init")
    fields = {
        "path": "text",
        "tree": "takes",
        "null": "takes",
        "recursive": "number",
        "private_mntns": "number",
        "alone": "number",
        "propagation": "number",
    }
    defaults = {"tree": NONE, "null": NONE, "recursive": 1, "private_mntns": 0, "alone": 0, "propagation": 0}
    sentence = "open the rootfs {path}"


class OpenScratch(Step):
    """Make the place for what the container writes, and put it into the register ``fd``: a new tmpfs with ``options``,
    or the directory ``source`` (a host path) if that is not empty. Make the ``directories`` in it.

    The place is attached over the root of this mount namespace, where no path leads to it, until PivotRoot. Meanwhile
    it is the working directory, so that overlays name what is in it by relative paths.
    """

    sections = ("init",)
    fields = {"fd": "fills", "source": "text", "options": "texts", "directories": "texts"}
    defaults = {"source": "", "options": ()}
    sentence = "make the place for what the container writes"


class CloneTree(Step):
    """Clone the mounts at ``path`` into ``fd``, attached nowhere, so that later changes of the container's own mounts do
    not concern them (open_tree(2))."""

    sections = ("init",)
    fields = {"fd": "fills", "path": "text"}
    sentence = "clone the mounts at {path}"
    call = "open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)"


class OverlayRootfs(Step):
    """Mount an overlay at ``path`` (a host path): the overlay is the rootfs.

    Its read-only directories are ``lower`` (host paths, topmost first). ``options`` name upperdir and workdir, or
    neither for a read-only overlay, and what else the file system gets. The step makes none of these directories. A
    relative ``path`` lies in what OpenScratch has made. ``private_mntns`` is as in OpenRootfs.
    """

    sections = ("stage", "init")
    fields = {"lower": "texts", "options": "texts", "path": "text", "private_mntns": "number"}
    defaults = {"options": (), "private_mntns": 0}
    sentence = "mount the overlay rootfs at {path}"


class MakeDirectory(Step):
    """Make ``path`` and its parents, with mode ``mode`` for each directory that is made. An existing directory
    is not changed."""

    sections = ("stage", "init", "exec_program")
    fields = {"path": "text", "mode": "number"}
    sentence = "make directory {path}"


class MakeSymlink(Step):
    """Make ``path`` a link to ``to``. If ``needs`` is not empty, the step does so only if that path exists in
    the rootfs. An existing path is not changed; with ``replace`` 1, an existing file or link is replaced."""

    sections = ("init",)
    fields = {"to": "text", "path": "text", "needs": "text", "replace": "number"}
    defaults = {"needs": "", "replace": 0}
    sentence = "link {path} to {to}"


class MakeNode(Step):
    """Make the device node ``path``.

    ``kind`` is S_IFCHR, S_IFBLK or S_IFIFO, and ``mode`` its permissions, whatever the umask is. If the node
    exists, it must be the same device. With ``bind`` 1 the step binds the host's node of the same path there
    instead, because a user namespace may not create devices.

    With a register ``outside`` and ``bind`` 0 the runtime makes the node in a file system that is attached
    nowhere, and puts its mount into the register; with ``bind`` 1 the step binds that node. If the runtime may
    not make the node either (EPERM), the register stays empty, and the step binds the host's node.
    """

    sections = ("host", "init")
    fields = {
        "path": "text",
        "kind": "number",
        "major": "number",
        "minor": "number",
        "mode": "number",
        "uid": "number",
        "gid": "number",
        "bind": "number",
        "outside": "takes",
    }
    defaults = {"bind": 0, "uid": 0, "gid": 0, "outside": NONE}
    sentence = "make device {path}"


class MakeConsole(Step):
    """Set up the terminal of the container.

    The step opens a new pseudoterminal from the container's /dev/pts (ONLCR off, ``height`` by ``width`` unless
    these are 0), and with ``device`` 1 binds it over /dev/console. It sends the master over the socket in
    ``fd`` (NONE: to the runtime, for a run in the foreground), gives the terminal to ``uid``, and makes it the
    controlling terminal and the standard streams.
    """

    sections = ("init",)
    fields = {"fd": "takes", "uid": "number", "height": "number", "width": "number", "device": "number"}
    sentence = "set up the terminal"


class MaskPath(Step):
    """Cover ``path`` with an empty read-only tmpfs if it is a directory, otherwise with /dev/null. A missing
    path is no error."""

    sections = ("init",)
    fields = {"path": "text"}
    sentence = "mask {path}"


class ReadonlyPath(Step):
    """Make ``path`` read-only by a bind over itself. A missing path is no error."""

    sections = ("init",)
    fields = {"path": "text"}
    sentence = "make {path} read-only"


class CoverRoot(Step):
    """Attach the mount in ``fd`` over the root of this mount namespace, where no path leads to it. In a user
    namespace the kernel mounts a procfs or sysfs only if the mount namespace shows one already."""

    sections = ("init",)
    fields = {"fd": "fd"}
    sentence = "show the host's views of the kernel"


class UncoverRoot(Step):
    """Undo CoverRoot."""

    sections = ("init",)
    fields = {"fd": "takes"}
    sentence = "hide the host's views of the kernel"


class PivotRoot(Step):
    """Make the rootfs the root of this mount namespace and detach the old root. Nothing is left to do if OpenRootfs
    has made the namespace with nothing but the rootfs in it."""

    sections = ("init",)
    fields = {}
    sentence = "pivot_root"


class MoveRoot(Step):
    """``--no-pivot``: move the rootfs over /, unmount what is mounted beneath /, cover each procfs and sysfs
    that cannot be unmounted, and chroot into the rootfs."""

    sections = ("init",)
    fields = {}
    sentence = "move the rootfs over /"


class ChangeRoot(Step):
    """Without a mount namespace: clone the rootfs with its mounts, return to the runtime's mount namespace, and
    chroot into the clone. The clone is attached nowhere and ends with its last process."""

    sections = ("init",)
    fields = {}
    sentence = "chroot into the rootfs"


class EnterRoot(Step):
    """Use ``/`` of this process as the rootfs, after a chroot into the directory in ``fd`` unless that is
    NONE."""

    sections = ("init", "in_restored_mntns")
    fields = {"fd": "fd"}
    defaults = {"fd": NONE}
    sentence = "enter the root directory of the container"


class WriteProc(Step):
    """Write ``value`` to ``file`` (``sys/...``, ``self/attr/exec``) of the procfs that OpenProc has opened, or
    of one that the runtime makes."""

    sections = ("init",)
    fields = {"file": "text", "value": "text"}
    sentence = "write {value} to /proc/{file}"
