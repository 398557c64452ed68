"""linux.memoryPolicy: config-linux.md, "Memory policy". The compiler imports this module only if a config has one."""

from ..errors import ConfigError
from ..model.text import choose, quote
from ..plan.steps import SetMemoryPolicy
from . import bits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import MemoryPolicy
    from ..plan.steps import Step

SPEC = "config-linux.md#memory-policy"
AT = "linux.memoryPolicy"
MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
STATIC, RELATIVE = 1 << 15, 1 << 14
FLAGS = {"MPOL_F_NUMA_BALANCING": 1 << 13, "MPOL_F_RELATIVE_NODES": RELATIVE, "MPOL_F_STATIC_NODES": STATIC}
"""linux/mempolicy.h."""
WITHOUT_NODES = ("MPOL_DEFAULT", "MPOL_LOCAL")
WITH_NODES = ("MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE")
NODES = 4096 * 8
"""How many bits set_mempolicy(2) takes: a page of them. The kernel checks which nodes exist."""


def set_policy(policy: "MemoryPolicy") -> "list[Step]":
    """The steps of init that set the policy. The program that init executes inherits it.

    :param policy: the view of ``linux.memoryPolicy``.
    :raises ConfigError: set_mempolicy(2) does not know a property, or the mode's nodes are missing or too many.
    """
    mode = policy.mode.read()
    number = choose(MODES, mode, policy.mode.path)
    for flag in policy.flags:
        number |= choose(FLAGS, flag.read(), flag.path)
    if number & STATIC and number & RELATIVE:
        raise ConfigError(f"{AT}.flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES", "one of them")
    text = "" if policy.nodes is None else policy.nodes.read()
    nodes = bits.parse(text, f"{AT}.nodes", "nodes", NODES) if text else set()
    if nodes and mode in WITHOUT_NODES:
        raise ConfigError(f"{AT}.nodes", quote(text), f"nothing with {mode}")
    if not nodes and mode in WITH_NODES:
        raise ConfigError(f"{AT}.nodes", quote(text) if text else "nothing", f"at least one node with {mode}")
    return [SetMemoryPolicy(AT, SPEC, mode=number, nodes=bits.mask(nodes), name=mode)]
