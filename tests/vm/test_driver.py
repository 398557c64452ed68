"""The systemd driver beside crun's, in one guest by turns. That no interpreter runs for a known shape is
tests/integration/test_systemd.py's to test.

What it gave, with date and commit, stands in build/vm/driver.json for `hack/conformance --docs` (in
build/vm/SUITE/driver.json for another suite).
"""

import json
import time

from conformance.__main__ import DRIVER
from conformance.commit import commit
from tests.vm.machine import RESULTS

ROUNDS = 15


def test_beside_crun(boot, report):
    facts = {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "commit": commit()}
    guest = boot("driver", "--", "python3", "/tree/tests/vm/guest/driver.py", str(ROUNDS), timeout=600)
    assert guest.wait() == 0, guest.end_of_log()
    found = guest.read_json("driver.json")
    (RESULTS / DRIVER.name).write_text(json.dumps({**facts, **found}, indent=1) + "\n")
    ratios = {
        verb: round(value / found["milliseconds"]["crun"][verb], 2)
        for verb, value in found["milliseconds"]["ocirt"].items()
    }
    report("systemd driver against crun", ratios)
    # Systemd's own work is in both. An interpreter alone would take several times crun's whole create here.
    assert ratios["create"] < 1.5 and ratios["run"] < 1.5, ratios
