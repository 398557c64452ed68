"""Engines with ocirt in a guest where systemd runs the host and the engines are today's; and AppArmor and SELinux, which no
other host of these tests has. By root: tests/vm/guest/engines.py and selinux.py.
"""

import pytest

from tests.vm.machine import SUITE

pytestmark = pytest.mark.skipif(
    SUITE not in ("forky", "sid"), reason="is of podman 5.8 and Docker 28; tests/engines is of Debian 12's engines"
)


@pytest.mark.parametrize(
    "name, least, options",
    [("engines", 12, ("--engines",)), ("selinux", 5, ("--engines", "--lsm", "selinux"))],
    ids=["engines", "selinux"],
)
def test_engines(boot, report, name, least, options):
    guest = boot(
        name,
        "--",
        "/tree/tests/vm/guest/run-tests",
        "--here",
        f"tests/vm/guest/{name}.py",
        timeout=1500,
        options=options,
    )
    status, outcomes = guest.tests()
    report(name, outcomes)
    assert status == 0, guest.end_of_log()
    assert outcomes["passed"] >= least
