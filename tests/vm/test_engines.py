"""Engines with ocirt in a guest where systemd runs the host and the engines are today's; and AppArmor, which no other host
of these tests has. By root: tests/vm/guest/engines.py.
"""

import pytest

from tests.vm.machine import SUITE

pytestmark = pytest.mark.skipif(
    SUITE not in ("forky", "sid"), reason="is of podman 5.8 and Docker 28; tests/engines is of Debian 12's engines"
)


def test_engines(boot, report):
    guest = boot(
        "engines",
        "--",
        "/tree/tests/vm/guest/run-tests",
        "--here",
        "tests/vm/guest/engines.py",
        timeout=1500,
        options=("--engines",),
    )
    status, outcomes = guest.tests()
    report("engines", outcomes)
    assert status == 0, guest.end_of_log()
    assert outcomes["passed"] >= 10
