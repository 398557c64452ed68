"""Every verb and flag of runc is one of ours, with the same letter and the same kind of value."""

import json
from pathlib import Path

import pytest

from ocirt.cli.flags import GLOBAL, ONCE, VERBS
from ocirt.cli.parser import UsageError, parse

RUNC = json.loads((Path(__file__).parent / "data/flags/runc.json").read_text())
ROWS = [(verb, name) for verb, flags in {"": RUNC["global"], **RUNC["verbs"]}.items() for name in flags]
VALUES = {"log-format": "json", "rootless": "auto", "format": "json", "preserve-fds": "3", "status-fd": "3"}
"""Values that flags take which take only some."""


def ours(verb):
    return {flag.name: flag for flag in (VERBS[verb].flags if verb else GLOBAL)}


def test_every_verb():
    assert set(RUNC["verbs"]) <= set(VERBS)


@pytest.mark.parametrize("verb, name", ROWS)
def test_a_flag_of_runc(verb, name):
    theirs, flag = (RUNC["verbs"][verb] if verb else RUNC["global"])[name], ours(verb).get(name)
    assert flag is not None, f"runc {verb} --{name}"
    assert (flag.letter, flag.takes_value, flag.repeats != ONCE) == (
        theirs["letter"],
        not theirs["switch"],
        theirs["repeats"],
    )


@pytest.mark.parametrize("verb, name", ROWS)
def test_it_is_read(verb, name):
    flag = ours(verb)[name]
    value = [VALUES.get(name, "value")] if flag.takes_value else []
    for spelling in [f"--{name}", f"-{name}", *([f"-{flag.letter}"] if flag.letter else [])]:
        words = [spelling, *value]
        line = parse(["ocirt", verb, *words, *["c"] * VERBS[verb].arguments_min] if verb else ["ocirt", *words, "list"])
        found = getattr(line.options, name.replace("-", "_"))
        assert (found[-1] if isinstance(found, list) else str(found)) == (value[0] if value else "True")


@pytest.mark.parametrize("verb", sorted(RUNC["verbs"]))
def test_help_and_unknown_flags(verb):
    """In runc's words; the exit status of an unknown flag is 1 (tests/unit/test_cli_main.py)."""
    for words in (["help", verb], [verb, "-h"], [verb, "--help"]):
        line = parse(["ocirt", *words])
        assert line.wants_help and line.verb == verb
    with pytest.raises(UsageError, match="flag provided but not defined: -no-such-flag"):
        parse(["ocirt", verb, "--no-such-flag", "c"])
