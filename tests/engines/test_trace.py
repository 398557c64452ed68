"""OCIRT_TRACE reaches ocirt through each engine, whose command lines do not change (docs/tracing.md, Engines)."""

import pytest

from ocirt.cli.trace.spans import INIT, RUNTIME, read
from tests.engines import cell as cells
from tests.engines.cell import Cell
from tests.engines.test_smoke import containerd, docker, podman

FOLDER = "/run/traces"


@pytest.mark.parametrize("life", [podman, docker, containerd], ids=lambda life: life.__name__)
def test_an_engine_passes_it_on(life, archives, runtime, monkeypatch):
    """The variable is in the environment of the daemon: the container's record has its whole life. podman clears the
    environment of conmon, which calls create, so there a flag of podman's passes the directory on. A podman that conmon
    starts without this flag calls delete.
    """
    if runtime != "ocirt":
        pytest.skip("only ocirt has records")
    monkeypatch.setitem(cells.ENVIRONMENT, "OCIRT_TRACE", FOLDER)
    with Cell(f"trace-{life.__name__}") as cell:
        cell.path(FOLDER).mkdir()
        made = life(cell, archives, runtime)
        words = ("sh", "-c", "exit 7")
        if life is podman:
            monkeypatch.delitem(cells.ENVIRONMENT, "OCIRT_TRACE")
            result = made.engine("--runtime-flag", f"trace={FOLDER}", "run", "--rm", "busybox", *words)
        else:
            result = made.run(["--rm"], *words)
        assert result.status == 7, result
        made.engine.clean()
        found = [command for file in cell.path(FOLDER).iterdir() for command in read(file.read_bytes())]
    expected = {"create", "start"} if life is podman else {"create", "start", "delete"}
    assert {command.title.split()[1] for command in found} == expected, found
    created = [command for command in found if command.title.startswith("ocirt create")]
    assert all({RUNTIME, INIT} <= {span.thread for span in command.spans} for command in created)
