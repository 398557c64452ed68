"""D-Bus messages to systemd, as lists of strings from which the executable makes the bytes (core/dbus.c): so that ids,
slices and limits stay slots.

An item is a type, and its value where it has one: ``s`` and ``g`` text and signature, ``y``, ``b``, ``u`` and ``t``
numbers in decimal, of 1, 4, 4 and 8 bytes (a bool is 0 or 1, -1 is all ones), ``d`` two numbers of which the first less
the second is sent as ``t``, ``p`` the pid of the child. ``(`` begins a structure, ``a1``, ``a4`` and ``a8`` an array whose items
are aligned to as many bytes, ``]`` ends it. A variant is a signature, and a value of it.
"""


def _property(name, signature, *items):
    return ["(", "s", name, "g", signature, *items]


def text(name, value):
    return _property(name, "s", "s", value)


def flag(name, value):
    return _property(name, "b", "b", str(int(value)))


def number(name, value):
    """:param value: ``str``, Number or Template of a number without sign, or -1."""
    return _property(name, "t", "t", value)


def difference(name, value, less):
    return _property(name, "t", "d", value, less)


def texts(name, values):
    return _property(name, "as", "a4", *[item for value in values for item in ("s", value)], "]")


def octets(name, data):
    return _property(name, "ay", "a1", *[item for byte in data for item in ("y", str(byte))], "]")


def child(name):
    """A property that names the child's pid alone."""
    return _property(name, "au", "a4", "p", "]")


def start(unit, properties):
    """The body of StartTransientUnit: a unit's name, how it deals with other jobs, its properties, and no further units."""
    return ["s", unit, "s", "replace", "a8", *[item for each in properties for item in each], "]", "a8", "]"]


def change(unit, properties):
    """The body of SetUnitProperties: for as long as the unit lives, not in a file of its own."""
    return ["s", unit, "b", "1", "a8", *[item for each in properties for item in each], "]"]
