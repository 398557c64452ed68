"""Where runc or crun and the specification differ, and their callers count on them: called by such a name, through a link
``runc`` or ``crun``, or with ``--as``, ocirt does as that runtime does. Under its own name it does as the specification says.

The name is a flag like any other: it is part of the key under which a program is kept, and of the request in state.json.
"""

DELETES_CREATED = (
    "delete of a container that is created ends it (runtime.md: delete of one that is not stopped is an error)"
)
MAPS_IDS = (
    "a new user namespace without uidMappings or gidMappings maps ids from 0 on to the same ones of the host, up to the "
    "process' own; a user's root to that user (ocirt under its own name: an error)"
)
RELATIVE_READONLY = (
    "a relative path in linux.readonlyPaths is one below the root (config-linux.md: it must be absolute)"
)

DIFFERENCES = {
    "runc": (DELETES_CREATED, RELATIVE_READONLY),
    "crun": (MAPS_IDS, RELATIVE_READONLY),
}
"""Name -> what ocirt does otherwise by that name."""
