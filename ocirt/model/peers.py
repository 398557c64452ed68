"""What ocirt does differently if it is called as runc or crun.

runc and crun differ from the specification in places, and their callers rely on the differences. If ocirt is called by their
name, through a link ``runc`` or ``crun`` or with ``--as``, it behaves as they do. Under its own name it follows the
specification.

The name is a flag like any other: it is part of the key under which a program is kept, and of the request in state.json.
"""

DELETES_CREATED = (
    "delete also ends a container that is created and not started (runtime.md: an error, because it is not stopped)"
)
MAPS_IDS = (
    "a new user namespace without uidMappings or gidMappings maps the ids from 0 up to that of the process to the same ids of "
    "the host; if the caller is not root, it maps root to the caller (ocirt under its own name: an error)"
)
RELATIVE_PATHS = (
    "a relative path in linux.readonlyPaths or linux.maskedPaths is taken as a path below the container's root (config-linux.md: "
    "an error, because the path must be absolute)"
)

DIFFERENCES = {
    "runc": (DELETES_CREATED, RELATIVE_PATHS),
    "crun": (MAPS_IDS, RELATIVE_PATHS),
}
"""Name -> what ocirt does differently under that name."""
