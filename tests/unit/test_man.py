"""The manual pages and the shells' completions that man/ makes from the one definition of the command line."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from man import pages
from ocirt.cli import help
from ocirt.cli.flags import GLOBAL, VERBS
from ocirt.compile import annotations

TREE = Path(__file__).resolve().parents[2]
FAKE = """#!/bin/sh
echo "$*" >>"${0%/*}/log"
case "$*" in
  "list --quiet") printf 'alpha\\nbeta\\n' ;;
  "--root /r list --quiet") printf 'gamma\\n' ;;
  "--root $HOME/states list --quiet") printf 'delta\\n' ;;
esac
"""


def tool(name):
    """The path of a program that hack/test installs if it can."""
    return shutil.which(name) or pytest.skip(f"needs {name}, which hack/test installs for root")


def plain(page):
    """The words of a page as a reader sees them."""
    for macro in ("\\fB", "\\fI", "\\fR", "\\&"):
        page = page.replace(macro, "")
    return " ".join(page.replace("\\-", "-").replace("\\(aq", "'").replace("\\(ha", "^").split())


@pytest.mark.parametrize("name", pages.NAMES)
def test_pages_are_clean(name, tmp_path):
    """mandoc and groff have nothing to say of them."""
    path = tmp_path / name
    path.write_text(pages.page(name))
    done = subprocess.run([tool("mandoc"), "-T", "lint", path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    shown = subprocess.run(
        [tool("man"), "--warnings", "-E", "UTF-8", "-l", "-Tutf8", path],
        env=os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    # groff 1.23 and newer underlines the title, by an escape sequence.
    text = re.sub(r"\x1b\[\d+m", "", shown.stdout)
    assert (shown.returncode, shown.stderr) == (0, "") and text.startswith("OCIRT")


@pytest.mark.parametrize("verb", VERBS)
def test_the_page_of_a_verb_has_what_its_help_has(verb):
    page = plain(pages.page(f"ocirt-{verb}.1"))
    for flag in VERBS[verb].flags:
        assert f".TP --{flag.name}{f' {flag.value}' if flag.value else ''}" in page
        assert " ".join(flag.help.split()) in page
    for command, what in help.EXAMPLES[verb]:
        assert f".TP .B {command} {what}" in page


def test_the_general_page():
    page = plain(pages.page("ocirt.1"))
    for verb in VERBS:
        assert f".BR ocirt-{verb} (1) {VERBS[verb].help}" in page
    for flag in GLOBAL:
        assert f".TP --{flag.name}" in page


def test_the_page_of_annotations_names_all_that_have_an_effect():
    page = plain(pages.page("ocirt-annotations.7"))
    assert [name for name in annotations.KNOWN if name not in page] == []


def test_what_roff_would_read_in_its_own_way():
    text = """a \\ 'b' --flag "ocirt run '^a-z'" of /etc. .NET ^~"""
    assert pages.prose(text) == (
        "a \\e \\(aqb\\(aq \\fB\\-\\-flag\\fR \\fBocirt run \\(aq\\(haa\\-z\\(aq\\fR of /etc. .NET\n\\(ha\\(ti"
    )
    assert pages.prose(".profile") == "\\&.profile"


@pytest.fixture
def complete(tmp_path):
    """A function that writes the completions of a shell; and an ocirt on PATH that has the containers alpha and beta."""
    pytest.importorskip("shtab", reason="needs the wheel shtab, which hack/test installs")
    (tmp_path / "ocirt").write_text(FAKE)
    (tmp_path / "ocirt").chmod(0o755)

    def write(shell, name):
        subprocess.run([sys.executable, "-B", "-m", "man.completion", shell, tmp_path / name], cwd=TREE, check=True)
        return {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "dumb"}

    return write


LINES = {
    "ocirt ca": ["cache"],
    "ocirt --log-f": ["--log-format"],
    "ocirt --log-format ": ["json", "text"],
    "ocirt delete ": ["alpha", "beta"],
    "ocirt exec -t al": ["alpha"],
    "ocirt --root /r start ": ["gamma"],
    "ocirt --root=/r start ": ["gamma"],
    'ocirt --root "/r" start ': ["gamma"],
    "ocirt --root ~/states start ": ["delta"],
    "ocirt kill alpha KI": ["KILL"],
    "ocirt cache ": ["clear", "explain", "list"],
    "ocirt cache explain /et": ["/etc"],
    "ocirt plan /et": ["/etc"],
    "ocirt exec alpha l": [],
    "ocirt run --bundle /et": ["/etc"],
    "ocirt trace /et": ["/etc"],
    "ocirt load /et": ["/etc"],
    "ocirt --trace /et": ["/etc"],
    "ocirt bundle image /et": ["/etc"],
}


def test_bash(complete, tmp_path):
    environment = complete("bash", "completion")
    script = """
      source "$HOME/completion"; COMP_LINE=$1
      read -ra COMP_WORDS <<<"${1//=/ = }"
      [[ $1 != *" " ]] || COMP_WORDS+=("")
      COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _shtab_ocirt 2>/dev/null; printf '%s\\n' "${COMPREPLY[@]}"
    """
    for line, words in LINES.items():
        found = subprocess.run(
            ["bash", "-c", script, "bash", line], env=environment, capture_output=True, text=True, timeout=60
        )
        assert (sorted(found.stdout.split()), found.stderr) == (words, ""), line


def test_fish(complete, tmp_path):
    fish = tool("fish")
    environment = complete("fish", "completion")
    for line, words in LINES.items():
        command = f"source $HOME/completion; complete -C '{line}'"
        found = subprocess.run(
            [fish, "--no-config", "-c", command], env=environment, capture_output=True, text=True, timeout=60
        )
        shown = sorted(line.split("\t")[0].rstrip("/") for line in found.stdout.splitlines())
        assert (shown, found.stderr) == (words, ""), line


def test_zsh(complete, tmp_path):
    """zsh completes only at a terminal: TAB is typed there, and the fake ocirt writes down how it was called."""
    zsh = tool("zsh")
    (tmp_path / "functions").mkdir()
    environment = complete("zsh", "functions/_ocirt")
    main, terminal = pty.openpty()
    shell = subprocess.Popen(
        [zsh, "-f", "-i"], stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
    )
    os.close(terminal)

    def typed(text, until):
        os.write(main, text.encode())
        seen, end = b"", time.monotonic() + 60
        while until.encode() not in seen:
            assert time.monotonic() < end, seen
            if select.select([main], [], [], 0.2)[0]:
                seen += os.read(main, 4096)

    try:
        typed("fpath=($HOME/functions $fpath); autoload -U compinit; compinit -u -d $HOME/dump; PS1='> '\n", "\r> ")
        for line in (
            "delete al\t",
            "--root /r exec -t gam\t",
            "--root ~/states start del\t",
            "--root=/r start ga\t",
            "kill alpha KIL\t",
            "val\t/et\t",
        ):
            typed(f"ocirt {line}\n", "\r> ")
        os.write(main, b"exit\n")
        shell.wait(60)
    finally:
        shell.kill()
        shell.wait()
        os.close(main)
    called = [line for line in (tmp_path / "log").read_text().splitlines() if not line.endswith("list --quiet")]
    assert called == [
        "delete alpha",
        "--root /r exec -t gamma",
        f"--root {tmp_path}/states start delta",
        "--root=/r start gamma",
        "kill alpha KILL",
        "validate /etc",
    ]
