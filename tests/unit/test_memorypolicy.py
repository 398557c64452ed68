"""linux.memoryPolicy (config-linux.md, Memory policy) to set_mempolicy(2)."""

import pytest

from ocirt.errors import ConfigError
from tests.unit.plans import config, names, plan, steps, values


def compiled(**policy):
    return plan(config(linux__memoryPolicy=policy))


@pytest.mark.parametrize(
    "policy, mode, nodes",
    [
        ({"mode": "MPOL_DEFAULT"}, 0, b""),
        ({"mode": "MPOL_LOCAL", "nodes": ""}, 4, b""),
        ({"mode": "MPOL_PREFERRED"}, 1, b""),
        ({"mode": "MPOL_PREFERRED", "nodes": "0"}, 1, b"\1" + bytes(7)),
        ({"mode": "MPOL_BIND", "nodes": "0-3,7"}, 2, b"\x8f" + bytes(7)),
        (
            {"mode": "MPOL_INTERLEAVE", "nodes": "2-3", "flags": ["MPOL_F_STATIC_NODES"]},
            3 | 1 << 15,
            b"\x0c" + bytes(7),
        ),
        (
            {"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "63", "flags": ["MPOL_F_RELATIVE_NODES"]},
            6 | 1 << 14,
            bytes(7) + b"\x80",
        ),
        ({"mode": "MPOL_PREFERRED_MANY", "nodes": " 64 , 0 - 1 "}, 5, b"\3" + bytes(7) + b"\1" + bytes(7)),
        ({"mode": "MPOL_BIND", "nodes": "1023", "flags": ["MPOL_F_NUMA_BALANCING"]}, 2 | 1 << 13, bytes(127) + b"\x80"),
        ({"mode": "MPOL_BIND", "nodes": "32767"}, 2, bytes(4095) + b"\x80"),
    ],
)
def test_policies(policy, mode, nodes):
    made = compiled(**policy)
    (step,) = steps(made, "init", "SetMemoryPolicy")
    assert values(step) == {"mode": mode, "nodes": nodes, "name": policy["mode"]}


def test_place():
    """Before a seccomp filter, which may forbid it; it outlives execve."""
    made = plan(config(linux__memoryPolicy={"mode": "MPOL_LOCAL"}, linux__seccomp={"defaultAction": "SCMP_ACT_ALLOW"}))
    init = names(made, "init")
    assert init.index("SetMemoryPolicy") < init.index("SetUser")
    assert "LoadSeccomp" not in init and "LoadSeccomp" in names(made, "exec_program")  # exec_program comes after init
    assert "SetMemoryPolicy" not in names(plan(config()), "init")


@pytest.mark.parametrize(
    "policy, path",
    [
        ({}, "mode"),
        ({"mode": "BIND"}, "mode"),
        ({"mode": 2}, "mode"),
        ({"mode": "MPOL_LOCAL", "flags": ["MPOL_F_X"]}, "flags[0]"),
        ({"mode": "MPOL_PREFERRED", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}, "flags"),
        ({"mode": "MPOL_DEFAULT", "nodes": "0"}, "nodes"),
        ({"mode": "MPOL_LOCAL", "nodes": "0"}, "nodes"),
        ({"mode": "MPOL_BIND"}, "nodes"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": ""}, "nodes"),
        ({"mode": "MPOL_PREFERRED_MANY"}, "nodes"),
        ({"mode": "MPOL_WEIGHTED_INTERLEAVE"}, "nodes"),
        *[
            ({"mode": "MPOL_BIND", "nodes": nodes}, "nodes")
            for nodes in (
                "x",
                "-1",
                "1-",
                "3-1",
                "0,,1",
                "32768",
                "0-99999999999",
                "²",
                "0x1",
                ",",
                "1-2-3",
                "+1",
                "all",
            )
        ],
        ({"mode": "MPOL_BIND", "nodes": 0}, "nodes"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": "MPOL_F_STATIC_NODES"}, "flags"),
    ],
)
def test_wrong(policy, path):
    with pytest.raises(ConfigError) as caught:
        compiled(**policy)
    assert f"linux.memoryPolicy.{path}: " in str(caught.value)
