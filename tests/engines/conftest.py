"""Real engines, as root, each in a cell (cell.py) below the cgroup /ocirt-test-engines (cell.PARENT), with the ocirt that
hack/install makes.
"""

import pytest

from tests.engines import images
from tests.engines.cell import Cell, until
from tests.engines.expected import RUNTIME
from tests.engines.installed import CannotRun, installed
from tests.engines.proof import failure_with_runc

PROOFS = {}
"""What :func:`failure_with_runc` has found so far."""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Skip a test that fails with ocirt if it now fails with runc as well, unless the test is about ocirt itself, or
    about both.
    """
    outcome = yield
    report = outcome.get_result()
    if (
        report.failed
        and RUNTIME == "ocirt"
        and "runtime" in item.fixturenames
        and not item.get_closest_marker("skipif")
    ):
        failure = call.excinfo.exconly()
        # One set-up serves a module, so one proof is enough for its failure.
        key = (item.path, failure) if call.when == "setup" else item.nodeid
        if key not in PROOFS:
            PROOFS[key] = failure_with_runc(item.nodeid)
        if PROOFS[key]:
            report.outcome = "skipped"
            report.longrepr = (
                str(item.path),
                item.location[1] + 1,
                f"Skipped: {failure[:300]}; with runc, too: {PROOFS[key]}",
            )


@pytest.fixture(scope="session", autouse=True)
def ready():
    """ocirt is installed (installed.py)."""
    try:
        with installed():
            yield
    except CannotRun as error:
        pytest.exit(str(error), 1)


@pytest.fixture(scope="session")
def runtime():
    return RUNTIME


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """A folder with the archives of the images."""
    folder = tmp_path_factory.mktemp("images")
    images.make(folder)
    return folder


@pytest.fixture(scope="module")
def cell(request):
    """The cell of a test module."""
    with Cell(request.module.__name__.rpartition(".")[2].removeprefix("test_")) as cell:
        yield cell


@pytest.fixture
def nothing_left():
    """``nothing_left(cell, before)``: wait until the cell has nothing that was not there ``before``, or fail."""

    def check(cell, before):
        def rest():
            after = cell.left()
            return {key: extra for key in after if (extra := [each for each in after[key] if each not in before[key]])}

        try:
            until(lambda: not rest(), "nothing left behind", 10)
        except AssertionError:
            assert rest() == {}

    return check
