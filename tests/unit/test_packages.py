"""The command that installs a missing package for the interpreter at hand."""

import sys

import pytest

from ocirt import packages


@pytest.mark.parametrize(
    "in_environment, managed, managers, expected",
    [
        (True, True, ("apt-get",), "{python} -m pip install p"),
        (False, False, ("apt-get",), "{python} -m pip install p"),
        (False, True, ("apt-get", "dnf"), "apt-get install python3-p"),
        (False, True, ("zypper",), "zypper install python3-p"),
        (False, True, (), "{python} -m pip install p --break-system-packages"),
    ],
)
def test_the_command(monkeypatch, tmp_path, in_environment, managed, managers, expected):
    """PEP 668: an interpreter that says EXTERNALLY-MANAGED gets its packages from its system, a virtual environment of it by pip."""
    if managed:
        (tmp_path / "EXTERNALLY-MANAGED").write_text("")
    monkeypatch.setattr(packages.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(packages.sys, "prefix", "/environment" if in_environment else sys.base_prefix)
    monkeypatch.setattr(packages.shutil, "which", lambda name, path: name if name in managers else None)
    assert packages.command_for("p") == expected.format(python=sys.executable)


def test_a_debian_package_has_python_in_its_name_once(monkeypatch, tmp_path):
    (tmp_path / "EXTERNALLY-MANAGED").write_text("")
    monkeypatch.setattr(packages.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(packages.sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(packages.shutil, "which", lambda name, path: name)
    assert packages.command_for("python-prctl") == "apt-get install python3-prctl"
