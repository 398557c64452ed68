"""One thing that the doctor has found."""

GOOD, NOTE, FAULT = "good", "note", "fault"
"""GOOD: it works. NOTE: some containers or some features do without it. FAULT: containers fail, or run without limits
that their configs ask for."""


class Finding:
    """A finding.

    :ivar level: :data:`GOOD`, :data:`NOTE` or :data:`FAULT`.
    :ivar found: what was found, one line.
    :ivar mend: the command, or what else to do; empty if there is nothing to do.
    """

    __slots__ = ("level", "found", "mend")

    def __init__(self, level: str, found: str, mend: str = "") -> None:
        self.level, self.found, self.mend = level, found, mend

    def __str__(self) -> str:
        return f"{self.found}; {self.mend}" if self.mend else self.found

    def __repr__(self) -> str:
        return f"<{self.level}: {self}>"


def good(found: str) -> Finding:
    """It works."""
    return Finding(GOOD, found)


def note(found: str, mend: str = "") -> Finding:
    """Some containers or some features do without it."""
    return Finding(NOTE, found, mend)


def fault(found: str, mend: str = "") -> Finding:
    """Containers fail, or run without limits that their configs ask for."""
    return Finding(FAULT, found, mend)


def package(name: str, elsewhere: str = "") -> str:
    """What a user does to have a program of the Debian package ``name``, which others call ``elsewhere``."""
    import shutil

    for manager, its_name in (("apt-get", name), ("dnf", elsewhere or name), ("zypper", elsewhere or name)):
        if shutil.which(manager, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            return f"run: {manager} install {its_name}"
    return f"install {elsewhere or name}"
