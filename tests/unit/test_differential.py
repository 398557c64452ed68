"""A short run of the pairs of configs of tests/unit/differential.py; the long one is hack/fuzz."""

import re

from ocirt.errors import ConfigError
from tests.unit import differential
from tests.unit.differential import BASES, NOT_VARIED, compare, fields, places


def test_the_bases_have_every_field():
    """Of the schema: a field that is new to it needs a value in one of them, or nothing here would try it."""
    there = {
        re.sub(
            r"\[\d+\]",
            "[]",
            ".".join(str(step) if isinstance(step, str) else f"[{step}]" for step in place).replace(".[", "["),
        )
        for members, *_ in BASES.values()
        for place, _ in places(members)
    }
    wanted = {re.sub(r"(args|env)\[\]$|(annotations)\.\*$", r"\1\2", field) for field in fields()}
    missing = {
        field
        for field in wanted
        if not any(re.fullmatch(re.escape(field).replace(r"\*", ".+"), each) for each in there)
    }
    assert missing == NOT_VARIED


def test_what_is_bound_is_what_compiling_gives(core):
    """For values in every field, one by one and together: nothing that compile refuses is bound."""
    tally = compare(core, 40, 2, 1)
    assert not tally.broken, str(tally)
    assert tally.pairs > 1500 and tally.bound > 300, str(tally)


def test_a_check_that_is_lost_is_found(core, monkeypatch):
    """The comparison itself: where the last look at a number decides its limits, it says which number is bound that is refused."""

    def last_decides(self, low, high, expected=None):
        self.trace.slots.setdefault(self.path, {}).update(low=low, high=high)
        if not low <= self._value <= high:
            raise ConfigError(self.path, str(self._value), expected or "another")
        return self

    monkeypatch.setattr("ocirt.model.text.Number.checked", last_decides)
    monkeypatch.setattr(differential, "KINDS", [(differential.Creates, "cgroup v2")])
    assert any("memory" in where for _, _, where in compare(core, 8, 0, 1).broken)
