"""``ocirt doctor``: user namespaces and subordinate ids."""

import shutil

import pytest

from ocirt.cli.doctor import users
from ocirt.cli.doctor.finding import FAULT, GOOD, NOTE
from tests.unit.doctoring import host, texts


def test_subordinate_ids():
    text = "tester:100000:65536\n1000:200000:10\nother:1:5\nbroken\n"
    assert users._count(text, "tester", 1000) == 65546 and users._count(text, "nobody", 5) == 0


def test_an_empty_path_hides_no_helper(monkeypatch):
    """The runtime looks for these programs in folders of its own."""
    monkeypatch.setenv("PATH", "")
    asked = []
    monkeypatch.setattr(users.subprocess, "run", lambda words, **rest: asked.append((words, rest)) or Done())
    assert texts(users._namespaces(host(euid=1000)), GOOD) == ["user namespaces can be made"]
    assert asked[0][1]["env"] == {"PATH": users.PROGRAMS}
    there = [program for program in ("newuidmap", "newgidmap") if shutil.which(program, path=users.PROGRAMS)]
    said = [each for each in texts(users._subordinate(54321), FAULT) if "is not installed" in each]
    assert len(said) == 2 - len(there), said


class Done:
    """A program that has ended well."""

    returncode, stdout, stderr = 0, "", ""


def test_a_switch_that_forbids_user_namespaces(monkeypatch, tmp_path):
    switch = tmp_path / "max_user_namespaces"
    switch.write_text("0\n")
    fake = tmp_path / "unshare"
    fake.write_text("#!/bin/sh\necho 'unshare: unshare failed: No space left on device' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(users, "SWITCHES", {str(switch): ("0", "sysctl user.max_user_namespaces=15000")})
    monkeypatch.setattr(users.shutil, "which", lambda name, path=None: str(fake))
    (said,) = texts(users._namespaces(host(euid=1000)), FAULT)
    assert said == (
        "no user namespace can be made (unshare failed: No space left on device); "
        "as root: sysctl user.max_user_namespaces=15000"
    )


def test_a_container_that_makes_no_user_namespace(monkeypatch, tmp_path):
    fake = tmp_path / "unshare"
    fake.write_text("#!/bin/sh\necho 'unshare: write failed /proc/self/uid_map: Operation not permitted' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(users, "SWITCHES", {})
    monkeypatch.setattr(users.shutil, "which", lambda name, path=None: str(fake))
    (root,), (user,) = [texts(users._namespaces(host(euid=uid)), FAULT) for uid in (0, 1000)]
    assert root.startswith("no user namespace can be made (write failed /proc/self/uid_map: Operation not permitted); ")
    assert "--cap-add SETFCAP" in root and "a seccomp profile" in user


@pytest.mark.parametrize("facts, level", [({}, NOTE), ({"in_user_namespace": True}, FAULT), ({"euid": 1000}, FAULT)])
def test_a_container_whose_proc_is_covered(monkeypatch, tmp_path, facts, level):
    fake = tmp_path / "unshare"
    fake.write_text("#!/bin/sh\n[ $3$4 = --mounttrue ] || { echo 'unshare: mount /proc failed: No' >&2; exit 1; }\n")
    fake.chmod(0o755)
    monkeypatch.setattr(users.shutil, "which", lambda name, path=None: str(fake))
    findings = list(users._namespaces(host(**facts)))
    assert texts(findings, GOOD) == ["user namespaces can be made"]
    (said,) = texts(findings, level)
    assert said.startswith("no user namespace can mount proc (mount /proc failed: No), as containers with one do: ")
    assert "systempaths=unconfined" in said
