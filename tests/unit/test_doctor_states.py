"""``ocirt --root DIR doctor``: where this user's states lie."""

from ocirt.cli.doctor import TOPICS
from ocirt.cli.doctor.finding import FAULT, GOOD
from ocirt.cli.parser import parse
from tests.unit.doctoring import host


def of_states(root, level):
    flags = [f"--root={root}"] if root else []
    found = TOPICS["users"](host(euid=1000), parse(["ocirt", *flags, "doctor"]).options)
    return [str(each) for each in found if each.level == level and ("states" in str(each) or "--root" in str(each))]


def test_a_root_that_the_user_names_counts(monkeypatch, tmp_path):
    """It need not exist: the runtime makes it. The usual directory does not matter then."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    assert len(of_states(None, FAULT)) == 1
    wanted = str(tmp_path / "made/later")
    assert (of_states(wanted, GOOD), of_states(wanted, FAULT)) == ([f"states lie in {wanted}"], [])
    (tmp_path / "file").write_text("")
    wanted = str(tmp_path / "file/states")
    assert of_states(wanted, FAULT) == [
        f"--root {wanted}: this user may not write {tmp_path}/file; name another directory"
    ]
