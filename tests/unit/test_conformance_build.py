"""conformance/build.py: what it says where a command fails, and which Go it takes."""

import pytest

from conformance import build


def test_the_reason_is_in_the_last_lines():
    said = "seq 20; printf '%s\\n' 'certificate verify failed' '' 'No matching distribution' >&2; exit 1"
    with pytest.raises(build.BuildError) as caught:
        build._run(["sh", "-c", said], "cannot build it")
    assert str(caught.value) == "cannot build it:\n    certificate verify failed\n    No matching distribution"
    with pytest.raises(build.BuildError, match="^cannot build it: one line$"):
        build._run(["sh", "-c", "echo one line >&2; exit 1"], "cannot build it")
    with pytest.raises(build.BuildError, match="^cannot build it: no reason given$"):
        build._run(["false"], "cannot build it")


@pytest.fixture
def a_go(tmp_path, monkeypatch):
    """Makes the first Go of PATH one that says it is of this version."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def make(version):
        (tmp_path / "go").write_text(f"#!/bin/sh\necho go{version}\n")
        (tmp_path / "go").chmod(0o755)
        return str(tmp_path / "go")

    return make


@pytest.mark.parametrize(
    "version, fits", [("1.24.1", True), ("1.30", True), ("2.0", True), ("1.19.8", False), ("1.9", False)]
)
def test_a_go_that_is_new_enough(a_go, monkeypatch, version, fits):
    """Else the Python index's is installed: Debian 12's is 1.19."""
    path = a_go(version)
    monkeypatch.setattr(build, "_run", lambda *words: pytest.fail("a Go is installed") if fits else None)
    monkeypatch.setattr(
        build, "_version", lambda path, known=build._version: known(path) if path == str(a_go(version)) else (0, 0)
    )
    if fits:
        assert build.go() == path
    else:
        with pytest.raises(build.BuildError, match="does not run"):
            build.go()
