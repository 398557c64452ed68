"""The matrix (matrix.py): what every engine does with ocirt is what it does with runc, or a reason stands beside the line."""

import pytest

from tests.engines import matrix
from tests.engines.tables import REASONS, TABLES


def test_its_size():
    commands = [line for table, _ in TABLES.values() for _, line in matrix.lines_of(table) if matrix.is_command(line)]
    assert len(commands) >= 150
    assert {key for table, _ in TABLES.values() for key, _ in matrix.lines_of(table) if key} == set(REASONS)


def test_sets_of_capabilities_are_compared():
    """They look like ids, which are not."""
    lines = "CapEff:\t00000000a80425fb\nSigIgn:\t0000000000001000\n"
    assert matrix.normal(f"{lines}00000000a80425fb\n", None) == f"{lines}HEX\n"


@pytest.mark.parametrize("engine", TABLES)
def test_side_by_side(archives, engine):
    _, differences, _ = matrix.compare(engine, archives)
    assert not differences, "\n".join(map(str, differences))
