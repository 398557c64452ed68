"""Runs of hack/vm, and the results of the tree's tests in the guest."""

import faulthandler
import json
import os
import subprocess
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from conformance.commit import commit

TREE = Path(__file__).resolve().parents[2]
GUEST = Path(__file__).parent / "guest"
DEFAULT = "bookworm"
SUITE = os.environ.get("OCIRT_TEST_SUITE", DEFAULT)
"""The Debian of the guests (hack/test --vm=SUITE)."""
RESULTS = TREE / "build/vm" / ("" if SUITE == DEFAULT else SUITE)
"""Logs of the guests, and result.json."""

MANAGERS = ("cgroupfs", "systemd")
"""The cgroup managers with which tests/integration runs in the guest; only the first one runs every file."""


class Guest:
    """A run of hack/vm. Its output goes to build/vm/``name``.log, that of another processor to build/vm/aarch64.

    :param share: a folder that becomes /share.
    :param words: what to run; a path is a script of the host.
    :param options: further options of hack/vm.
    """

    def __init__(self, name, share, *words, user="root", timeout, options=()):
        folder = RESULTS / "aarch64" if "aarch64" in options else RESULTS
        folder.mkdir(parents=True, exist_ok=True)
        share.chmod(0o777)
        self.log, self.share, self.results = folder / f"{name}.log", share, folder / f"{name}.xml"
        self.results.unlink(missing_ok=True)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [
                    TREE / "hack/vm",
                    "--suite",
                    SUITE,
                    "--timeout",
                    str(timeout),
                    "--user",
                    user,
                    "--share",
                    share,
                    *options,
                    *map(str, words),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self):
        """Wait for its end, and keep the results of the tests in it where hack/nightly finds them.

        :returns: the exit status.
        """
        faulthandler.cancel_dump_traceback_later()  # cancel pytest's limit; a guest has its own
        status = self.process.wait()
        if (self.share / "junit.xml").exists():
            results = ElementTree.parse(self.share / "junit.xml")
            results.getroot().set("commit", commit())
            results.write(self.results)
        return status

    def tests(self):
        """Wait for its end, and read the results of the tests in it.

        :returns: the exit status, and what result.json says of the tests: the counts of their outcomes, ``failures``
            (their names), and ``left out`` (reasons).
        """
        status = self.wait()
        assert self.results.exists(), self.end_of_log()
        outcomes, failed = counts(self.results)
        return status, {**outcomes, "failures": failed, "left out": left_out(self.results)}

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def end_of_log(self, lines=60):
        return f"the end of {self.log.relative_to(TREE)}:\n" + "\n".join(
            self.log.read_text(errors="replace").splitlines()[-lines:]
        )

    def read_json(self, name):
        return json.loads((self.share / name).read_text())


def counts(junit):
    """Outcomes of a pytest run by its JUnit file.

    :returns: a dict of outcome to number of tests, and the names of the failed tests.
    """
    outcomes, failed = Counter(), []
    for case in ElementTree.parse(junit).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed.append(f"{case.get('classname')}::{case.get('name')}")
            outcomes["failed"] += 1
        elif "skipped" in kinds:
            outcomes["xfailed" if case.find("skipped").get("type") == "pytest.xfail" else "skipped"] += 1
        else:
            outcomes["passed"] += 1
    return dict(outcomes), failed


def left_out(junit):
    """Why tests of a pytest run were skipped: each reason, with the number of tests."""
    skips = (case.find("skipped") for case in ElementTree.parse(junit).iter("testcase"))
    return Counter(skip.get("message") for skip in skips if skip is not None and skip.get("type") != "pytest.xfail")
