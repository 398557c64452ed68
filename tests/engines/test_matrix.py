"""The matrix (matrix.py): what every engine does with ocirt is what it does with runc, or a reason stands beside the line."""

import pytest

from tests.engines import matrix
from tests.engines.tables import REASONS, TABLES


def test_its_size():
    commands = [line for table, _ in TABLES.values() for _, line in matrix.lines_of(table) if matrix.is_command(line)]
    assert len(commands) >= 150
    assert {key for table, _ in TABLES.values() for key, _ in matrix.lines_of(table) if key} == set(REASONS)


@pytest.mark.parametrize("engine", TABLES)
def test_side_by_side(archives, engine):
    _, differences, _ = matrix.compare(engine, archives)
    assert not differences, "\n".join(map(str, differences))
