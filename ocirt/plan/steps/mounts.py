"""Steps that mount file systems in the container.

openat2 (RESOLVE_IN_ROOT, no magic links) resolves every ``target`` and every ``path`` of a step that acts in the rootfs,
beneath the rootfs fd, before and after pivot_root alike. The executor makes what is missing of it. ``set`` and ``clear`` are
MOUNT_ATTR_* bits; if clear holds an access time bit, it holds the whole MOUNT_ATTR__ATIME mask. A procfs or sysfs, new or
bound, is pinned when it is mounted: the executor finds what lies beneath it from the mount, even if the path to the mount has
changed meanwhile, and no link may lie on the path to a whole one. Inside a procfs only the files of Bind's ``on_proc`` can be
covered. ``propagation`` is 0 or one MS_* flag; with ``propagation_recursive`` it also applies to the mounts below.
"""

from .base import NONE, Step


class MakeIdMapping(Step):
    """Open into ``fd`` a user namespace whose maps are ``uids`` and ``gids`` (lines of container id, host id,
    size). No process stays in the namespace: it only serves as a mapping for mounts."""

    sections = ("host",)
    fields = {"fd": "fills", "uids": "text", "gids": "text"}
    sentence = "make the id mapping of the mount"


class OpenMount(Step):
    """Clone the mounts at ``source`` (a host path) into ``fd``, if init cannot: init may not be able to reach
    the path or to map its ids, or its clone would be no peer of the host's mount.

    ``recursive`` also clones the mounts beneath the path; ``nofollow`` 1 clones a symlink itself. The step
    leaves ``fd`` empty, and the source to init, with ``leave`` 1 if the source lies beneath the rootfs, because Bind
    runs after the mounts before it, and with ``leave_refused`` 1 if the kernel does not let this process clone mounts
    (EPERM), because its mount namespace belongs to another user namespace.
    ``propagation`` (one MS_* flag, 0 for no change) applies to the whole tree. ``mapping`` is a register with
    the user namespace whose maps the mount gets; with ``mapping_recursive`` 1 the mounts below get them too.
    """

    sections = ("host",)
    fields = {
        "fd": "fills",
        "source": "text",
        "recursive": "number",
        "nofollow": "number",
        "propagation": "number",
        "mapping": "fd",
        "mapping_recursive": "number",
        "leave": "number",
        "leave_refused": "number",
    }
    defaults = {
        "leave": 0,
        "leave_refused": 0,
        "recursive": 0,
        "nofollow": 0,
        "propagation": 0,
        "mapping": NONE,
        "mapping_recursive": 0,
    }
    sentence = "bind {source}"


class MapLent(Step):
    """If the ``source`` of a Bind lies beneath the rootfs, wait until init lends the tree that it has opened
    there, map its ids as OpenMount does, and hand the tree back. ``fd`` holds the tree meanwhile. If the source
    lies elsewhere the step does nothing, because OpenMount has mapped the ids."""

    sections = ("host",)
    fields = {"fd": "fills", "source": "text", "mapping": "fd", "mapping_recursive": "number"}
    sentence = "map the ids of {source}"


class SetPropagation(Step):
    """Set the propagation of ``/`` of this mount namespace, and with ``recursive`` that of the mounts below."""

    sections = ("stage", "init")
    fields = {"propagation": "number", "recursive": "number"}
    sentence = "set the propagation of /"


class Mount(Step):
    """Mount a new file system of type ``fstype`` at ``target``.

    ``options`` go to fsconfig one by one, each ``key=value`` or a flag; ``source`` is the file system's source,
    and ``set`` are the mount's MOUNT_ATTR_* bits. With ``tmpcopyup`` 1 the step copies the content of the
    directory beneath into the file system; with ``keep_mode`` 1 the file system's root keeps the permissions of
    that directory. A missing target is made as a directory. If the target is /, what is mounted there becomes
    the rootfs. If the file system is not permitted (EPERM, EBUSY), the step binds the directory ``bind``, if that
    is not empty; ``clear`` are MOUNT_ATTR_* bits that only this bind loses.
    """

    sections = ("init",)
    fields = {
        "fstype": "text",
        "source": "text",
        "target": "text",
        "options": "texts",
        "set": "number",
        "propagation": "number",
        "propagation_recursive": "number",
        "tmpcopyup": "number",
        "keep_mode": "number",
        "bind": "text",
        "clear": "number",
    }
    defaults = {
        "options": (),
        "set": 0,
        "propagation": 0,
        "propagation_recursive": 0,
        "tmpcopyup": 0,
        "keep_mode": 0,
        "bind": "",
        "clear": 0,
    }
    sentence = "mount {fstype} at {target}"


class Bind(Step):
    """Bind-mount ``source`` (a host path), or what OpenMount has put into the register ``tree``, at ``target``.

    ``recursive`` includes the mounts beneath the source. ``set`` and ``clear`` change this mount,
    ``recursive_set`` and ``recursive_clear`` the whole tree (the r* options); ``implied`` are further bits to
    clear of this mount, except those that a user namespace has locked. A missing target is made as a directory
    or an empty file, like the source; with ``on_proc`` 1 the target is one of the files of /proc that may be
    covered. If the source is missing, the step binds ``otherwise``, if that is not empty, or, with ``optional``
    1, does nothing. ``source_nofollow`` and ``target_nofollow`` 1 take a symlink itself instead of following
    it; with ``copy_symlink`` 1 a source that is a symlink is created again at the target. ``mapping`` and
    ``mapping_recursive`` are those of OpenMount, for a source that OpenMount has left to this step; with
    ``lend`` 1 the runtime maps the ids (MapLent).
    """

    sections = ("stage", "init")
    fields = {
        "source": "text",
        "target": "text",
        "tree": "takes",
        "recursive": "number",
        "set": "number",
        "clear": "number",
        "recursive_set": "number",
        "recursive_clear": "number",
        "propagation": "number",
        "propagation_recursive": "number",
        "optional": "number",
        "source_nofollow": "number",
        "target_nofollow": "number",
        "copy_symlink": "number",
        "otherwise": "text",
        "on_proc": "number",
        "implied": "number",
        "mapping": "fd",
        "mapping_recursive": "number",
        "lend": "number",
    }
    defaults = {
        "tree": NONE,
        "recursive": 0,
        "set": 0,
        "clear": 0,
        "recursive_set": 0,
        "recursive_clear": 0,
        "propagation": 0,
        "propagation_recursive": 0,
        "optional": 0,
        "source_nofollow": 0,
        "target_nofollow": 0,
        "copy_symlink": 0,
        "otherwise": "",
        "on_proc": 0,
        "implied": 0,
        "mapping": NONE,
        "mapping_recursive": 0,
        "lend": 0,
    }
    sentence = "bind {source} at {target}"


class SetMountAttributes(Step):
    """Change the mount at ``target`` by mount_setattr(2); ``/`` is the rootfs itself."""

    sections = ("init", "in_restored_mntns")
    fields = {"target": "text", "set": "number", "clear": "number", "recursive": "number", "propagation": "number"}
    defaults = {"clear": 0, "recursive": 0, "propagation": 0}
    sentence = "change the mount at {target}"


class ReconfigureMount(Step):
    """Give the file system that is mounted at ``target`` further settings, as fsconfig takes them."""

    sections = ("init",)
    fields = {"target": "text", "options": "texts"}
    sentence = "reconfigure the file system at {target}"
