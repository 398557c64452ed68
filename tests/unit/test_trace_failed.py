"""``ocirt trace``: what a command that failed did when it ended."""

from ocirt.cli.trace.spans import INIT, NETWORK, RUNTIME, read
from ocirt.cli.trace.table import summary
from tests.unit.tracing import line, part


def test_the_thread_that_makes_the_network_ends_with_the_runtime():
    """What hangs in a command that has ended is a child that nobody waits for, and not a thread of the runtime."""
    record = part(
        line(RUNTIME, "step", "MakeCgroup", 100, 300, error=16),
        line(NETWORK, "step", "network", 200, None, phase="B"),
        line(INIT, "step", "Bind", 250, None, phase="B"),
        error=16,
    )
    (command,) = read(record)
    assert [span.name for span in command.unfinished] == ["Bind"]
    said = summary([command])
    assert "Bind: has not ended" in said and "network: has not ended" not in said
