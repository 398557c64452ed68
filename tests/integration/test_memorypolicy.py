"""config-linux.md, Memory policy: what /proc/PID/numa_maps says of the container's process."""

from pathlib import Path

import pytest


@pytest.mark.parametrize("privileges", [True, False])
@pytest.mark.parametrize(
    "policy, shown",
    [
        ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
        ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "prefer:0"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0"}, "interleave:0"),
        ({"mode": "MPOL_LOCAL"}, "local"),
        ({"mode": "MPOL_DEFAULT"}, "default"),
        ({"mode": "MPOL_PREFERRED"}, "local"),
        ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "prefer (many):0"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "bind=static:0"),
        ({"mode": "MPOL_BIND", "nodes": "0-3", "flags": ["MPOL_F_RELATIVE_NODES"]}, "bind=relative:0"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}, "bind=balancing:0"),
    ],
)
def test_policies(ocirt, bundle, policy, shown, privileges):
    bundle.config["process"]["noNewPrivileges"] = not privileges
    bundle.config["linux"]["memoryPolicy"] = policy
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    lines = Path(f"/proc/{ocirt.state('c1')['pid']}/numa_maps").read_text().splitlines()
    assert lines and [line for line in lines if f" {shown} " not in line + " "] == []


def test_without(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    assert " default " in Path(f"/proc/{ocirt.state('c1')['pid']}/numa_maps").read_text()


def test_a_node_that_is_not_there(ocirt, bundle):
    bundle.config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "1000"}
    bundle.save()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert (
        "linux.memoryPolicy: set the memory policy MPOL_BIND: set_mempolicy: invalid argument" in message
        and ocirt.ids() == []
    )


def test_a_profile_may_forbid_it(ocirt, bundle):
    """It is set before the filter is."""
    bundle.config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0"}
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["set_mempolicy"], "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    bundle.args("grep", "-c", "bind:0", "/proc/self/numa_maps").save()
    assert int(ocirt.ok("run", "--bundle", bundle, "c1").out) > 0
