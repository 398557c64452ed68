"""``ocirt doctor``: where states and kept programs lie."""

import os

from ocirt.cli.doctor import storage, users
from ocirt.cli.doctor.finding import FAULT, GOOD, NOTE
from tests.unit.doctoring import host, texts


def test_where_states_of_a_user_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert texts(users._states(os.geteuid(), True), GOOD) == [f"states lie in {tmp_path}/ocirt"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{tmp_path}/none")
    other = "use --root with another directory, or set XDG_RUNTIME_DIR to a directory of this user"
    for has_systemd, login in ((True, "log in, or as root: loginctl enable-linger 54321; or "), (False, "")):
        (said,) = texts(users._states(54321, has_systemd), FAULT)
        assert said == f"{tmp_path}/none, for the states of this user's containers, does not exist; {login}{other}"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    (said,) = texts(users._states(54321, True), FAULT)
    assert said.startswith("/run/user/54321, for the states")


def test_where_programs_are_kept(monkeypatch, tmp_path):
    tmp_path.chmod(0o700)
    monkeypatch.setenv("OCIRT_CACHE", str(tmp_path))
    assert [each for each in texts(storage._cache(host(euid=os.geteuid())), GOOD) if f"kept in {tmp_path}" in each]
    monkeypatch.setenv("OCIRT_CACHE", "off")
    (said,) = texts(storage._cache(host()), NOTE)
    assert "the cache is off" in said
