"""Plans: what a bundle is compiled to. See docs/architecture.md."""

from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.text import Trace
    from .steps import Step


class Plan:
    """The steps of a container's life, by section, and what they were compiled from.

    :ivar sections: section name (:data:`ocirt.plan.steps.SECTIONS`) -> list of steps, in order.
    :ivar facts: the :class:`~ocirt.plan.steps.Facts` of the container.
    :ivar trace: the :class:`~ocirt.model.text.Trace` of the compilation.
    """

    __slots__ = ("sections", "facts", "trace", "_registers")

    def __init__(self, trace: "Trace") -> None:
        from .steps import SECTIONS, Facts

        self.sections: dict[str, list[Step]] = {name: [] for name in SECTIONS}
        self.facts = Facts("state", "runtime.md#state")
        self.trace = trace
        self._registers = 0

    def __getattr__(self, name: str) -> "list[Step]":
        try:
            return self.sections[name]
        except KeyError:
            raise AttributeError(name) from None

    def register(self) -> int:
        """A descriptor register that no other step uses.

        :raises ConfigError: all registers are in use.
        """
        from .steps import REGISTERS

        if self._registers == REGISTERS:
            raise ConfigError(
                "",
                f"more than {REGISTERS} files, mounts, devices and namespaces for the runtime to open",
                "fewer",
            )
        self._registers += 1
        return self._registers - 1
