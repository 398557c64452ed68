"""The root: config.md, "Root"; config-linux.md, "Rootfs Mount Propagation"; and the overlay that the runtime mounts.

The caller asks for an overlay by the flags --layer, --upper and --work, or by annotations, if it has given
--rootfs-annotations. The runtime then mounts the overlay at root.path, an existing directory:

``org.ocirt.rootfs.lower``   its read-only layers, the topmost first, separated by colons. A colon or backslash in a
                             path has a backslash before it, as in overlayfs' own ``lowerdir``.
``org.ocirt.rootfs.upper``   the directory that gets the changes, and
``org.ocirt.rootfs.work``    an empty directory on the same file system. Without both, the rootfs is read-only.

In a user namespace the kernel keeps its marks (a directory that hides what is below) as ``user.overlay.*``, with the
option ``userxattr``; otherwise init could neither write them nor read those of a layer. A renamed directory and a file
whose mode changes are copied whole (``redirect_dir=off``, ``metacopy=off``), whatever the kernel's defaults are, so that
what is in the upper directory is complete: it becomes a layer (:mod:`ocirt.images`).

Instead of the last two, by annotations alone, the runtime makes the place for the changes itself:

``org.ocirt.rootfs.size``      a tmpfs of so many bytes, which ends with the container; or
``org.ocirt.rootfs.scratch``   an empty directory of the host.
``org.ocirt.rootfs.overlays``  how many overlays have their directories ``N/upper`` and ``N/work`` there: the rootfs is
                               the first, those of config.json's mounts name theirs by these relative paths.
``org.ocirt.rootfs.receiver``  a unix socket that gets a descriptor of the place. Its ``merged`` is the rootfs, with all
                               mounts. Init goes on after the receiver has answered with a byte.

Relative paths in annotations are relative to the bundle, those in flags to the caller's directory.
"""

from ..errors import ConfigError
from ..model.text import quote
from ..plan.steps import (
    NONE,
    PRIVATE,
    RDONLY,
    SHARED,
    SLAVE,
    UNBINDABLE,
    ChangeRoot,
    CoverRoot,
    MoveRoot,
    OpenMount,
    OpenRootfs,
    OverlayRootfs,
    PivotRoot,
    SetMountAttributes,
    SetPropagation,
    UncoverRoot,
)
from .paths import is_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config
    from ..model.host import Host
    from ..model.request import Request
    from ..model.text import AnyText, Template, Text
    from ..plan import Plan
    from ..plan.steps import Step
    from .namespaces import Namespaces
    from .scratch import Scratch

ROOT = "config.md#root"
PROPAGATION = "config-linux.md#rootfs-mount-propagation"
PROPERTY = "linux.rootfsPropagation"
LOWER, UPPER, WORK = "org.ocirt.rootfs.lower", "org.ocirt.rootfs.upper", "org.ocirt.rootfs.work"
PREFIX = "org.ocirt.rootfs."
SIZE, SCRATCH = "org.ocirt.rootfs.size", "org.ocirt.rootfs.scratch"

PROPAGATIONS = {
    # rootfsPropagation: of the whole mount namespace before the first mount; at the end, of the rootfs, and then of all
    # mounts of the container, whatever their own options are. The specification knows only the values for the rootfs;
    # in crun and in runc since 1.2 a value with an r is for all mounts.
    # As with these two, no mount that the host makes later below the rootfs appears in the container. Docker asks for
    # rslave if a volume is one; that is for the volume.
    "": (SLAVE, PRIVATE, 0),
    "slave": (SLAVE, PRIVATE, 0),
    "rslave": (SLAVE, PRIVATE, SLAVE),
    "private": (PRIVATE, 0, 0),
    "rprivate": (PRIVATE, 0, 0),
    # The namespace is never a peer of the host's mounts: the host would get every mount that is made here.
    "shared": (SLAVE, SHARED, 0),
    "rshared": (SLAVE, SHARED, SHARED),
    "unbindable": (PRIVATE, UNBINDABLE, 0),
    "runbindable": (PRIVATE, UNBINDABLE, UNBINDABLE),
}


class Rootfs:
    """The rootfs of a container.

    :ivar path: its absolute host path.
    :ivar before: the MS_* flag that all mounts of the container's mount namespace get at first.
    :ivar is_shared: may volumes be peers of the host's mounts?
    """

    def __init__(self, config: "Config", request: "Request", plan: "Plan", namespaces: "Namespaces") -> None:
        self.config, self.request, self.plan = config, request, plan
        # A container in the runtime's own mount namespace (config-linux.md, Namespaces: inherited if not listed) must
        # not change it. So init makes the mounts in another namespace, and comes back with a clone of them that is
        # attached nowhere and ends with the container's last process. (Before Linux 6.15 the kernel mounts nothing into
        # a tree that is attached nowhere.)
        self.private_mntns = int(not namespaces.has_mount)
        self.bundle = request.text("bundle", plan.trace)
        self._namespaces = namespaces
        location = config.root.location
        if location.is_empty():
            raise ConfigError(location.path, '""', "the path of a directory")
        self.path = self.beneath_bundle(location)
        self.readonly = _readonly(config)
        propagation = config.linux.rootfs_propagation
        name = "" if propagation is None else propagation.read()
        if name not in PROPAGATIONS:
            raise ConfigError(PROPERTY, quote(name), "shared, slave, private or unbindable")
        self.at = PROPERTY if name else "root"
        self.before, self.after, self.after_all = PROPAGATIONS[name]
        self.is_shared = self.after == SHARED
        self.scratch: Scratch | None = None
        self._overlay = self._overlay_step()
        self._hidden = namespaces.hides_paths and not self._overlay
        self._leave_refused = namespaces.leave_refused if self._hidden else 0
        self._tree = plan.register() if self._hidden else NONE
        self._null, self._alone = NONE, 0
        self._views: list[tuple[int, str]] = []

    def beneath_bundle(self, path: "Text") -> "Text | Template":
        """The absolute path of ``path``, which may be relative to the bundle."""
        return path if path.is_absolute() else self.bundle + "/" + path

    @property
    def has_overlay(self) -> bool:
        """Does the runtime mount the rootfs itself?"""
        return self._overlay is not None

    @property
    def is_on_disk(self) -> bool:
        """Is the place for what the container's programs write a directory of the caller, and no tmpfs?"""
        return self.scratch is not None and self.scratch.directory is not None

    def be_alone(self, host: "Host") -> None:
        """Let init make the mount namespace with nothing but the rootfs in it (OpenRootfs), and not with a copy of the
        host's mounts, which init would have to unmount again.
        """
        self._alone = 1
        if self._hidden:
            self._null = self.plan.register()
        if self._hidden or host.in_user_namespace:
            self._views = [(self.plan.register(), "/proc"), (self.plan.register(), "/sys")]

    def reach(self) -> "list[Step]":
        """Steps of the host that open what init may not reach."""
        mounts: list[tuple[int, AnyText]] = [(self._tree, self.path)] if self._hidden else []
        mounts += [(self._null, "/dev/null")] if self._null != NONE else []
        sockets = self.scratch.connect() if self.scratch else []
        return sockets + [
            OpenMount(
                "root.path",
                ROOT,
                fd=fd,
                source=source,
                recursive=1,
                propagation=self.before,
                leave_refused=self._leave_refused,
            )
            for fd, source in [*mounts, *self._views]
        ]

    def open(self) -> "list[Step]":
        """Steps of init that make the rootfs a mount of its mount namespace."""
        if self._alone:
            alone = {"alone": 1, "propagation": self.before}
            opened = OpenRootfs("root.path", ROOT, path=self.path, tree=self._tree, null=self._null, **alone)
            return [opened, *[CoverRoot("root.path", ROOT, fd=fd) for fd, _ in self._views]]
        rootfs = self._overlay or OpenRootfs(
            "root.path", ROOT, path=self.path, tree=self._tree, private_mntns=self.private_mntns
        )
        if self.private_mntns:
            return [rootfs]
        scratch: list[Step] = []
        if self.scratch:
            directory = self.scratch.directory
            scratch = [self.scratch.open("" if directory is None else self.beneath_bundle(directory))]
        return [SetPropagation(self.at, PROPAGATION, propagation=self.before, recursive=1), *scratch, rootfs]

    def _overlay_step(self) -> OverlayRootfs | None:
        if self.request.layer is not None:
            trace = self.plan.trace
            places = (
                []
                if self.request.upper is None
                else ["upperdir=" + self.request.text("upper", trace), "workdir=" + self.request.text("work", trace)]
            )
            return OverlayRootfs(
                "--layer",
                ROOT,
                lower=split(self.request.layer),
                options=[*places, *self._options(bool(places))],
                path=self.path,
                private_mntns=self.private_mntns,
            )
        if not self.request.rootfs_annotations:
            return None
        if {"size", "scratch"} & self.config.annotations_with(PREFIX).keys():
            return self._overlay_on_scratch()
        lower, upper, work = [self.config.annotation(name) for name in (LOWER, UPPER, WORK)]
        if lower is None:
            for note in (upper, work):
                if note is not None:
                    raise ConfigError(note.path, "an overlay's directory", f"{LOWER} as well")
            return None
        for missing, note, other in ((UPPER, upper, work), (WORK, work, upper)):
            if note is None and other is not None:
                raise ConfigError(other.path, "one of an overlay's two directories", f"{missing} as well")
        layers = [self._layer(layer, lower.path) for layer in split(lower.read())]
        if upper is None or work is None:
            return OverlayRootfs(
                lower.path,
                ROOT,
                lower=layers,
                path=self.path,
                private_mntns=self.private_mntns,
                options=self._options(False),
            )
        for note in (upper, work):
            if note.is_empty():
                raise ConfigError(note.path, '""', "the path of a directory")
        return OverlayRootfs(
            lower.path,
            ROOT,
            lower=layers,
            path=self.path,
            private_mntns=self.private_mntns,
            options=[
                "upperdir=" + self.beneath_bundle(upper),
                "workdir=" + self.beneath_bundle(work),
                *self._options(True),
            ],
        )

    def _options(self, is_writable: bool) -> list[str]:
        """Options of the overlay beside its directories."""
        if self._namespaces.has_user or self._namespaces.host.in_user_namespace:
            return ["userxattr"]  # the kernel then has the other two off
        return ["redirect_dir=off", "metacopy=off"] if is_writable else []

    def _overlay_on_scratch(self) -> OverlayRootfs:
        from .scratch import Scratch  # only sandboxes

        lower = self.config.annotation(LOWER)
        self.scratch = scratch = Scratch(self.config, self.request, self.plan, self._namespaces)
        for name in (UPPER, WORK):
            if self.config.annotation(name) is not None:
                raise ConfigError(scratch.at, "a place for changes that the runtime makes", f"no {name} with it")
        layers = [self.path] if lower is None else [self._layer(layer, lower.path) for layer in split(lower.read())]
        options = ["upperdir=0/upper", "workdir=0/work", *self._options(True)]
        return OverlayRootfs(scratch.at, ROOT, lower=layers, path="merged", options=options)

    def _layer(self, path: str, at: str) -> "AnyText":
        if not path:
            raise ConfigError(at, "an empty path", "paths of directories, separated by colons")
        return path if path.startswith("/") else self.bundle + f"/{path}"

    def enter(self, finish: "list[Step]") -> "list[Step]":
        """The step that makes the rootfs the root directory, and the steps ``finish`` that make mounts read-only and
        mask paths. Those come first for a tree that will be attached nowhere, because it cannot be changed later.
        """
        if self.private_mntns:
            return [*finish, ChangeRoot("linux.namespaces", "config-linux.md#namespaces")]
        root = MoveRoot("--no-pivot", ROOT) if self.request.no_pivot else PivotRoot("root", ROOT)
        return [*[UncoverRoot("root.path", ROOT, fd=fd) for fd, _ in reversed(self._views)], root, *finish]

    def finish(self) -> "list[Step]":
        """The step of init that sets the root's attributes, if any."""
        if not self.readonly and self.after == self.after_all:
            return []
        at, section = self.readonly or (PROPERTY, PROPAGATION)
        attributes = RDONLY if self.readonly else 0
        return [SetMountAttributes(at, section, target="/", set=attributes, propagation=self.after)]

    def propagate(self) -> "list[Step]":
        """The step of init that sets the propagation of all mounts, if they get one. It comes after everything that
        binds one of them, because some are unbindable then.
        """
        if not self.after_all:
            return []
        return [SetMountAttributes(PROPERTY, PROPAGATION, target="/", set=0, recursive=1, propagation=self.after_all)]


def _readonly(config: "Config") -> "tuple[str, str] | None":
    """What makes the root read-only: its JSON path, and the section of the specification. A bind over the root, as
    other read-only paths have, would change nothing: no path leads to it.
    """
    if config.root.readonly:
        return "root.readonly", ROOT
    for path in config.linux.readonly_paths:
        if is_root(path):
            return path.path, "config-linux.md#readonly-paths"
    return None


def split(text: str) -> list[str]:
    """The layers in ``text``: split at colons that have no backslash before them, without these backslashes."""
    layers, layer, letters = [], "", iter(text)
    for letter in letters:
        if letter == ":":
            layers.append(layer)
            layer = ""
        else:
            layer += next(letters, "\\") if letter == "\\" else letter
    return [*layers, layer]
