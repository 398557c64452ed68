"""The annotations org.ocirt.landlock and org.ocirt.coresched on kernels of other versions."""

import pytest

from ocirt.compile.hardening import FIRST_FS, IOCTL_DEV, REFER, TRUNCATE
from ocirt.errors import HostError
from tests.unit.plans import config, names, no_cgroups, plan, steps

LANDLOCK, CORESCHED = "org.ocirt.landlock", "org.ocirt.coresched"


def hardened(words, version, **flags):
    members = config(annotations={LANDLOCK: words}, process__noNewPrivileges=True)
    return plan(members, on=no_cgroups(landlock=version), hardening_annotations="1", **flags)


@pytest.mark.parametrize(
    "version, rights, scoped",
    [
        (1, FIRST_FS, 0),
        (2, FIRST_FS | REFER, 0),
        (3, FIRST_FS | REFER | TRUNCATE, 0),
        (4, FIRST_FS | REFER | TRUNCATE, 0),
        (5, FIRST_FS | REFER | TRUNCATE | IOCTL_DEV, 0),
        (6, FIRST_FS | REFER | TRUNCATE | IOCTL_DEV, 3),
        (9, FIRST_FS | REFER | TRUNCATE | IOCTL_DEV, 3),
    ],
)
def test_a_ruleset_has_the_rights_that_the_kernel_knows(version, rights, scoped):
    made = hardened("write:/tmp read:/", version)
    (ruleset,) = steps(made, "exec_program", "MakeLandlockRuleset")
    assert (ruleset.fs, ruleset.net, ruleset.scoped) == (rights, 0, scoped)
    assert all(rule.access | rights == rights for rule in steps(made, "exec_program", "AllowBeneath"))
    order = names(made, "exec_program")
    assert order.index("PrepareExec") < order.index("RestrictByLandlock") < order.index("Exec")


def test_ports_need_a_kernel_that_knows_them():
    with pytest.raises(HostError, match="this kernel's Landlock knows no TCP ports"):
        hardened("connect:443", 3)
    (ruleset,) = steps(hardened("connect:443", 4), "exec_program", "MakeLandlockRuleset")
    assert (ruleset.fs, ruleset.net) == (0, 2)


def test_a_kernel_without_landlock():
    with pytest.raises(HostError, match="this kernel has no Landlock"):
        hardened("read:/", 0)


def test_without_the_flag_nothing_is_asked_of_the_kernel():
    members = config(annotations={LANDLOCK: "nonsense", CORESCHED: "nonsense"})
    made = plan(members, on=no_cgroups())
    assert [step.message.split(" has no effect: ")[1] for step in steps(made, "host", "Warn")] == [
        "it works only with --hardening-annotations"
    ] * 2
    assert not steps(made, "init", "MakeCoreCookie")


def test_cores():
    members = config(annotations={CORESCHED: "1"})
    made = plan(members, on=no_cgroups(), hardening_annotations="1")
    assert len(steps(made, "init", "MakeCoreCookie")) == 1
    assert not steps(made, "exec_program", "MakeLandlockRuleset")
