"""hack/check-commits: which messages of commits it takes."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "hack/check-commits"
WHY = "\n\nA relative one meant another directory for each caller.\n"


def check(message, tmp_path):
    path = tmp_path / "COMMIT_EDITMSG"
    path.write_text(message)
    done = subprocess.run([SCRIPT, path], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "message",
    [
        "Refuse a relative destination" + WHY,
        "x".upper() + "y" * 71 + WHY,
        "Merge branch 'x'\n",
        "# a comment of git's\nRefuse a relative destination" + WHY + "# another\n",
        "Need CAP_SYS_ADMIN for nothing but mounts" + WHY,
    ],
)
def test_good(message, tmp_path):
    assert check(message, tmp_path) == (0, "")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("R" + "e" * 72 + WHY, "has 73 characters, expected at most 72"),
        ("refuse a relative destination" + WHY, "expected a capital"),
        ("Refuse a relative destination." + WHY, "no full stop"),
        ("Refused a relative destination" + WHY, "begins with Refused, expected an imperative"),
        ("Refusing a relative destination" + WHY, "begins with Refusing, expected an imperative"),
        ("Refuse a relative destination\nat once\n", "expected an empty line"),
        ("Refuse a relative destination\n", "has no body"),
        ("Refuse a relative destination\n\nSigned-off-by: A B <a@b>\n", "has no body"),
        ("fixup! Refuse a relative destination\n", "not meant to stay"),
    ],
)
def test_bad(message, told, tmp_path):
    status, error = check(message, tmp_path)
    assert status == 1 and told in error


@pytest.mark.skipif(not shutil.which("git"), reason="this host has no git")
def test_the_commits_of_a_branch(tmp_path):
    """Those alone that are not in the other branch yet."""

    def git(*words, **more):
        identity = ["-c", "user.name=A", "-c", "user.email=a@b"]
        return subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)

    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "old and bad")
    git("checkout", "-q", "-b", "mine")
    git("commit", "-q", "--allow-empty", "-m", "Refuse it", "-m", "Nobody wants it.")
    done = subprocess.run([SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    git("commit", "-q", "--allow-empty", "-m", "Refused it")
    done = subprocess.run([SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (
        done.returncode == 1 and done.stderr.count("Refused it") == 2
    )  # what is wrong with it, and that it says not why
    done = subprocess.run([SCRIPT, "nowhere"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "found no commit nowhere" in done.stderr
