"""``ocirt doctor`` as a whole: what it prints, its exit status, and what it does without a bundle."""

import json
import os

import pytest

from ocirt.cli.doctor import as_text, run, users
from ocirt.cli.parser import parse
from ocirt.cli.spec import default, rootless
from tests.unit.doctoring import box

__all__ = ["box"]  # fixtures of the tests here


def test_a_file_that_is_hidden_ends_only_its_topic(monkeypatch, capfdbinary):
    def hidden(host, options):
        raise FileNotFoundError(2, "No such file or directory", "/proc/filesystems")

    monkeypatch.setattr(
        "ocirt.cli.doctor.TOPICS", {"storage": hidden, "users": lambda host, options: iter([users.good("well")])}
    )
    assert run(parse(["ocirt", "doctor", "--json"])) == 1
    first, second = json.loads(capfdbinary.readouterr().out)
    assert first["found"] == "/proc/filesystems: no such file or directory: the rest of this topic is unknown"
    assert second["found"] == "well"


def test_the_exit_status_and_json(box, tmp_path, capfdbinary):
    config = default() if os.geteuid() == 0 else rootless(os.geteuid(), os.getegid())
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run(parse(["ocirt", "doctor", "--json", str(tmp_path)])) in (0, 1)
    rows = json.loads(capfdbinary.readouterr().out)
    assert rows and {*rows[0]} == {"topic", "level", "found", "mend"}
    config["root"]["path"] = "nowhere"
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run(parse(["ocirt", "doctor", str(tmp_path)])) == 1
    assert b"fault bundle    root.path: " in capfdbinary.readouterr().out


@pytest.mark.parametrize("flag", ["-f", "--config"])
def test_a_file_without_a_bundle_is_the_bundle_here(box, tmp_path, monkeypatch, capfdbinary, flag):
    """As with the other verbs that have this flag."""
    file = tmp_path / "other.json"
    config = default() if os.geteuid() == 0 else rootless(os.geteuid(), os.getegid())
    file.write_text(json.dumps(config | {"root": {"path": "nowhere"}}))
    monkeypatch.chdir(tmp_path)
    assert run(parse(["ocirt", "doctor", flag, str(file)])) == 1
    assert f"root.path: {os.path.realpath(tmp_path)}/nowhere is not".encode() in capfdbinary.readouterr().out


def test_one_is_no_plural():
    found = [("users", users.fault("a")), ("users", users.note("b")), ("users", users.good("c"))]
    assert as_text(found).endswith("\n1 fault, 1 note, 1 good\n")
    assert as_text(found * 2).endswith("\n2 faults, 2 notes, 2 good\n") and as_text([]).endswith(
        "0 faults, 0 notes, 0 good\n"
    )
