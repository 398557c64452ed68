"""``kill --regex`` and ``delete --regex``, as in crun: a verb of the executable on every container that matches a
pattern.
"""

import os
import re
import subprocess

from .. import state_dir
from ..errors import OcirtError, RequestError, reason
from ..model.text import quote
from .root import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .parser import CommandLine


def run(line: "CommandLine") -> int:
    """Run the verb on one container after the other. The executable logs a failure, and the next container follows.

    :returns: the exit status: 0, or 1 if the verb failed for a container.
    :raises OcirtError: the pattern is no regular expression, or the root directory cannot be read.
    """
    pattern, *rest = line.arguments
    root = root_of(line.options)
    try:
        ids = list(filter(re.compile(pattern).search, state_dir.ids(root)))
    except re.error as error:
        raise RequestError(f"--regex: found {quote(pattern)}, expected a regular expression: {error}") from None
    except OSError as error:
        raise OcirtError(f"--root {root}: {reason(error)}") from None
    flags = [
        word for word in line.words[len(line.start) :] if word.startswith("--") and word not in ("--", "--regex=true")
    ]
    failed = [
        id
        for id in ids
        if subprocess.run(
            [*line.start, line.verb, *flags, "--", id, *rest],
            executable=f"/proc/{os.getpid()}/fd/{line.executable}",
            stdin=subprocess.DEVNULL,
        ).returncode
    ]
    return 1 if failed else 0
