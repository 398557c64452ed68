"""Engines with ocirt in a guest where systemd runs the host and the engines are today's; and AppArmor and SELinux, which no
other host of these tests has. By root: tests/vm/guest/engines.py and selinux.py, and tests/engines/test_smoke.py, whose
cells are made for hosts with cgroup v2 alone nowhere else.
"""

import pytest

from tests.vm.machine import SUITE

pytestmark = pytest.mark.skipif(
    SUITE not in ("forky", "sid"), reason="is of podman 5.8 and Docker 28; tests/engines is of Debian 12's engines"
)


@pytest.mark.parametrize(
    "name, least, path, options",
    [
        ("engines", 12, "tests/vm/guest/engines.py", ("--engines",)),
        ("selinux", 5, "tests/vm/guest/selinux.py", ("--engines", "--lsm", "selinux")),
        ("cells", 7, "tests/engines/test_smoke.py", ("--engines",)),
    ],
    ids=["engines", "selinux", "cells"],
)
def test_engines(boot, report, name, least, path, options):
    guest = boot(
        name,
        "--",
        "env",
        "OCIRT_TEST_ENGINES_INSTALLED=1",
        "/tree/tests/vm/guest/run-tests",
        "--here",
        path,
        timeout=1500,
        options=options,
    )
    status, outcomes = guest.tests()
    report(name, outcomes)
    assert status == 0, guest.end_of_log()
    assert outcomes["passed"] >= least
