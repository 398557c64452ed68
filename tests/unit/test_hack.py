"""The scripts of hack/ where nothing is built or installed: what hack/fresh says of its arguments and keeps its Debians as, what it
carries into them, how the scripts keep what they make, and what a failed command's reason looks like."""

import contextlib
import hashlib
import os
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import ocirt
from conformance import cells

TREE = Path(__file__).parents[2]


def bash(script, *arguments, **more):
    return subprocess.run(
        ["bash", "-c", script, "hack/some", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )


def fresh(*arguments, **more):
    return subprocess.run(
        [TREE / "hack/fresh", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--what"], "unknown option --what"),
        (["bookworm", "trixie"], "found two suites, bookworm and trixie; expected one"),
        (["../etc"], "../etc: expected the name of a Debian suite"),
        (["Bookworm"], "Bookworm: expected the name of a Debian suite"),
        (["bookworm", "--"], "no command after --"),
        (["--base", "--", "true"], "--base runs no command"),
        (["--with", "/nowhere", "--", "true"], "--with: found /nowhere, expected a directory"),
    ],
)
def test_arguments_of_hack_fresh(arguments, words):
    done = fresh(*arguments)
    assert (
        (done.returncode, done.stdout) == (1, "")
        and done.stderr.startswith("hack/fresh: " + words)
        and done.stderr.count("\n") == 1
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "expected a version"),
        (["1.0", "2.0"], "found two versions, 1.0 and 2.0; expected one"),
        (["--arch", "i386", "1.0"], "--arch: found i386, expected x86_64, aarch64 or riscv64"),
        (["--what"], "unknown option --what"),
        (["99.9"], f"found version {ocirt.__version__} in ocirt/__init__.py, expected 99.9"),
    ],
)
def test_arguments_of_hack_release(arguments, words):
    done = subprocess.run(
        [TREE / "hack/release", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("hack/release: " + words) and done.stderr.count("\n") == 1


def test_the_version_has_its_heading_in_the_changelog():
    """hack/release reads the day of the release there."""
    assert re.search(
        rf"^## {re.escape(ocirt.__version__)} - \d{{4}}-\d\d-\d\d$", (TREE / "CHANGELOG.md").read_text(), re.M
    )


def test_the_names_of_files_in_install_md_are_of_this_version():
    """hack/fresh.d/release runs the commands there."""
    page = (TREE / "docs/install.md").read_text()
    assert set(re.findall(r"ocirt[-_](\d+\.\d+\.\d+)", page)) == {ocirt.__version__}


def copied_scripts(folder, *names):
    """A tree with these scripts of hack/ alone, this version and a CHANGELOG.md of 2.0.0 and 1.0.0."""
    (folder / "hack").mkdir()
    (folder / "ocirt").mkdir()
    for name in ("lib.sh", *names):
        shutil.copy(TREE / "hack" / name, folder / "hack" / name)
    (folder / "ocirt/__init__.py").write_text('__version__ = "2.0.0"\n')
    (folder / "CHANGELOG.md").write_text(CHANGELOG)
    return folder


CHANGELOG = """# Changelog

## Unreleased

## 2.0.0 - 2026-02-02

### Added
- Everything.

## 1.0.0 - 2026-01-01
- The first.
"""


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("## 2.0.0 - 2026-02-02", "## 2.0.0", "expected a heading like: ## 2.0.0 - "),
        ("## 2.0.0 - 2026-02-02", "## Older", "expected a heading like: ## 2.0.0 - "),
        (
            "## Unreleased\n",
            "## Unreleased\n\n### Fixed\n- This.\n- That,\n  and more.\n",
            "2 entries under Unreleased",
        ),
        ("- Everything.\n", "", "expected entries below the heading of 2.0.0"),
    ],
)
def test_hack_release_refuses_a_changelog_that_is_not_done(tmp_path, old, new, words):
    assert old in CHANGELOG
    script = copied_scripts(tmp_path, "release") / "hack/release"
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG.replace(old, new))
    done = subprocess.run([script, "2.0.0"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"hack/release: CHANGELOG.md: {words}") and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.skipif(not shutil.which("git"), reason="this host has no git")
def test_the_release_before_is_what_has_its_tag(tmp_path):
    """The headings of CHANGELOG.md are there before the release is done."""
    copied_scripts(tmp_path)
    build = tmp_path / "hack/build"
    build.write_text('#!/bin/sh\nmkdir -p "${0%/*}/../build/bin" && cp "$0" "${0%/*}/../build/bin/ocirt" # first\n')
    build.chmod(0o755)
    ask = f"source {tmp_path}/hack/lib.sh; need_release_before"

    def git(*words):
        options = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false", "-C", tmp_path]
        subprocess.run(["git", *options, *words], check=True, capture_output=True, timeout=60)

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "the heading")
    none = bash(ask)
    assert (none.returncode, none.stdout) == (1, "") and "needs the tag v1.0.0" in none.stderr
    build.write_text(build.read_text().replace("first", "last"))
    git("commit", "-q", "-a", "-m", "the release")
    git("tag", "v1.0.0")
    found = bash(ask)
    assert found.returncode == 0, found
    assert found.stdout == f"{tmp_path}/build/releases/1.0.0/build/bin/ocirt\n"
    assert "# last" in Path(found.stdout.strip()).read_text()


@pytest.mark.parametrize(
    "arguments, name", [([], "bookworm-0a11be75c355.tar"), (["trixie"], "trixie-76055b1cbb94.tar")]
)
def test_a_debian_that_is_kept(tmp_path, arguments, name):
    """Named by its suite and by what it is made of; found again, it is not made anew, and needs no root."""
    kept = tmp_path / "ocirt-fresh" / name
    kept.parent.mkdir()
    kept.write_bytes(b"kept")
    done = fresh("--base", *arguments, env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{kept}\n", "") and kept.read_bytes() == b"kept"


def musl_root(*arguments, **more):
    return subprocess.run(
        [TREE / "hack/musl-root", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["trixie"], "unknown argument trixie"),
        (["--"], "no command after --"),
        (["--with", "/nowhere", "--", "true"], "--with: found /nowhere, expected a directory"),
        (["--with", "/"], "--with needs a command"),
    ],
)
def test_arguments_of_hack_musl_root(arguments, words):
    done = musl_root(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("hack/musl-root: " + words) and done.stderr.count("\n") == 1


def test_a_root_with_musl_that_is_kept(tmp_path):
    """Named by its recipe; found again, it is not made anew, and needs no root's rights."""
    recipe = hashlib.sha256((TREE / "hack/musl-root.d/make").read_bytes()).hexdigest()
    kept = tmp_path / "ocirt-musl" / f"root-{recipe[:12]}"
    kept.mkdir(parents=True)
    done = musl_root(env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{kept}\n", "")


KEEP = f"""source {TREE}/hack/lib.sh
make() {{ echo made >&2; echo "$1" >"$2"; }}
keep "$1" 'root-*' "$2" make "$3"
cat "$1"
"""


def test_what_is_kept_is_made_once(tmp_path):
    """Whole or not at all, again if somebody asks, and what nobody has used for two weeks goes when another is made."""
    kept, old, other = (tmp_path / "kept" / name for name in ("root-a", "root-old", "other"))

    def keep(path, rebuild="", content="first"):
        done = bash(KEEP, path, rebuild, content)
        assert done.returncode == 0, done
        return done.stdout, done.stderr

    assert keep(kept) == ("first\n", "made\n")
    for path in (old, other):
        path.mkdir()
    (tmp_path / "kept/root-killed.new").mkdir()
    for path in (kept, old, other):
        os.utime(path, (0, 0))
    assert keep(kept, content="second") == ("first\n", "") and kept.stat().st_mtime > 0
    assert keep(kept, "rebuild", "third") == ("third\n", "made\n")
    assert sorted(path.name for path in kept.parent.iterdir()) == ["making.lock", "other", "root-a"]
    assert bash(KEEP.replace("echo made", "false"), old, "", "x").returncode == 1 and not old.exists()


@pytest.fixture
def apt(tmp_path):
    """An environment in which apt-get and apt-config tell what the test has them tell."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def say(sources="", settings=""):
        for name, text in (("apt-get", sources), ("apt-config", settings)):
            (folder / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
            (folder / name).chmod(0o755)
        return {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    return say


def carry(*words, env):
    done = subprocess.run(
        [TREE / "hack/fresh.d/carry", *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.splitlines()


SOURCES = """\
bookworm http://mirror/debian/
bookworm-updates http://mirror/debian/
bookworm-security http://mirror/security/"""


def test_the_mirrors_of_this_machine(apt):
    environment = apt(SOURCES)
    assert carry("sources", "trixie", env=environment) == [
        "deb http://mirror/debian/ trixie main",
        "deb http://mirror/debian/ trixie-updates main",
        "deb http://mirror/security/ trixie-security main",
    ]
    assert carry("sources", "sid", env=environment) == ["deb http://mirror/debian/ sid main"]


def test_a_machine_without_debians_mirrors(apt):
    """Then mmdebstrap's own are taken."""
    assert carry("sources", "trixie", env=apt()) == []


def test_the_settings_of_apt(apt):
    """How it reaches mirrors, and nothing that names programs or files of this machine's packages."""
    settings = [
        'Acquire::http::Proxy "http://proxy:3128";',
        'Acquire::https::mirror::CAInfo "/etc/ssl/own.pem";',
        'Acquire::Check-Valid-Until "false";',
    ]
    others = [
        'Acquire::http "";',
        'Acquire::IndexTargets::deb::Packages::MetaKey "x";',
        'DPkg::Post-Invoke:: "/usr/bin/something";',
    ]
    assert carry("apt", env=apt(settings="\n".join([*settings, *others]))) == settings


def test_what_is_carried_into_a_debian(apt, tmp_path):
    root = tmp_path / "root"
    for name in ("root", "etc/skel", "etc/apt/apt.conf.d"):
        (root / name).mkdir(parents=True)
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    (certificates / "real.pem").write_text("certificate")
    (certificates / "link.pem").symlink_to("real.pem")
    (certificates / "dangling.pem").symlink_to("/missing")
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nindex-url = http://index/\n")
    carry(
        "into",
        root,
        env=apt(settings='Acquire::http::Proxy "http://proxy:3128";')
        | {
            "https_proxy": "http://proxy:3128",
            "PIP_INDEX_URL": "http://index/a b",
            "PIP_CERT": str(certificates / "link.pem"),
            "SSL_CERT_DIR": str(certificates),
            "SSL_CERT_FILE": "/no/such/file",
            "SECRET": "x",
            "LANG": "C",
        },
    )
    assert (root / "etc/apt/apt.conf.d/00carried").read_text() == 'Acquire::http::Proxy "http://proxy:3128";\n'
    variables = dict(entry.split("=", 1) for entry in (root / "root/environment").read_text().split("\0")[:-1])
    # The scripts of hack/ set some of pip's themselves.
    assert {
        name: value
        for name, value in variables.items()
        if name not in ("PIP_DISABLE_PIP_VERSION_CHECK", "PIP_ROOT_USER_ACTION")
    } == {
        "https_proxy": "http://proxy:3128",
        "PIP_INDEX_URL": "http://index/a b",
        "PIP_CERT": str(certificates / "link.pem"),
        "SSL_CERT_DIR": str(certificates),
    }
    for name in ("real.pem", "link.pem"):
        assert (
            Path(f"{root}{certificates}/{name}").read_text() == "certificate"
            and not Path(f"{root}{certificates}/{name}").is_symlink()
        )
    for home in ("root", "etc/skel"):
        assert (root / home / ".config/pip/pip.conf").read_text() == "[global]\nindex-url = http://index/\n"
    assert (root / "etc/hosts").read_text() == Path("/etc/hosts").read_text()


QUIETLY = f'source {TREE}/hack/lib.sh; quietly "cannot do it" "$@"; echo after'


def test_a_command_that_succeeds_prints_nothing():
    done = bash(QUIETLY, "sh", "-c", "echo out; echo err >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "after\n", "")


def test_the_reason_is_in_the_last_lines():
    """Which of them it is, a reader sees: pip's last line says that there is no such package, where a certificate was refused."""
    said = [
        "WARNING: Retrying",
        "Could not fetch URL: certificate verify failed",
        "",
        "ERROR: Could not find a version that satisfies jsonschema",
        "ERROR: No matching distribution found for jsonschema",
    ]
    done = bash(QUIETLY, "sh", "-c", 'seq 20; printf "%s\\n" "$@" >&2; exit 3', "sh", *said)
    lines = ["17", "18", "19", "20", *[line for line in said if line]]
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == ["hack/some: cannot do it:", *[f"    {line}" for line in lines[-8:]]]


def test_one_line_of_reason_makes_one_line():
    done = bash(QUIETLY, "sh", "-c", "echo; echo 'no such thing'; echo; exit 3")
    assert (done.returncode, done.stderr) == (1, "hack/some: cannot do it: no such thing\n")


def test_a_command_that_says_nothing():
    assert (
        bash(QUIETLY, "/bin/sh", "-c", "exit 3").stderr
        == "hack/some: cannot do it: sh ended with status 3 and printed nothing\n"
    )


def test_a_root_of_another_debian_has_what_the_engines_lane_needs():
    """There /usr is read-only: what hack/test would install, it must find installed."""
    lane = (TREE / "hack/test").read_text().partition("\nrun=()\n")[2].partition("\n  if [[ $kubernetes ]]")[0]
    needed = {
        package
        for call in re.findall(r"\bneed_packages ((?:\\\n|[^\n)])+)", lane)
        for package in call.replace("\\", " ").split()
    }
    lines = (TREE / "hack/engines-root.d/packages").read_text().splitlines()
    kept = {words[0] for line in lines if (words := line.split()) and words[1:] in ([], ["trixie", "forky", "sid"])}
    assert needed > {"podman", "docker.io", "passt"} and needed - kept == set()


@pytest.fixture
def ci(tmp_path):
    """Runs .ci/run with parts that do nothing but say their names, and fail where the test has them fail."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "hack").mkdir()
    shutil.copy(TREE / ".ci/run", tmp_path / ".ci/run")

    def run(*failing):
        for name in ("check", "fresh", "test", "vm"):
            # What runs on another host has arguments, the others at most a suite or a lane.
            part = f'part={name}; [ $# -lt 2 ] || part=another-host; [ "$*" != --site ] || part=site; echo $part; [ $part != "{" ".join(failing)}" ]'
            (tmp_path / "hack" / name).write_text(f"#!/bin/sh\n{part}\n")
            (tmp_path / "hack" / name).chmod(0o755)
        done = subprocess.run(
            [tmp_path / ".ci/run"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, cwd="/"
        )
        assert done.stdout == "check\nsite\nfresh\nanother-host\ntest\n", done
        return done

    return run


def test_all_that_is_run_for_a_commit(ci):
    """hack/test is last: its count of tests ends the output."""
    done = ci()
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("part", ["check", "site", "fresh", "another-host", "test"])
def test_a_part_that_fails_fails_the_whole_and_keeps_no_other_from_running(ci, part):
    done = ci(part)
    assert (
        done.returncode == 1
        and {"another-host": "hack/", "site": "hack/test --site"}.get(part, f"hack/{part}") in done.stderr
        and done.stderr.endswith(" failed\n")
        and done.stderr.count("\n") == 1
    )


@pytest.fixture
def tree(tmp_path):
    """A tree with hack/test, in which nothing is built, and whose Python writes its pid and waits."""
    folder = tmp_path / "tree"
    (folder / "hack").mkdir(parents=True)
    for name in ("test", "lib.sh"):
        shutil.copy(TREE / "hack" / name, folder / "hack")
    programs = {
        "hack/build": "exit 0",
        "build/venv/bin/python": f'[ "$1" = -m ] || exit 0; echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 60',
    }
    for name, script in programs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    (folder / "pyproject.toml").touch()
    (folder / "tests/unit").mkdir(parents=True)
    (folder / "tests/unit/test_x.py").touch()
    for extra in ("test", "check"):
        (folder / f"build/venv/wheels-{extra}").touch()
        os.utime(folder / f"build/venv/wheels-{extra}", (2e9, 2e9))
    return folder


def began(folder):
    """A descriptor of the process that stands for pytest."""
    file, end = folder.parent / "pid", time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < end, "hack/test does not start its tests"
        time.sleep(0.02)
    return os.pidfd_open(int(file.read_text()))


@pytest.mark.parametrize(
    "start, ends",
    [
        ("hack/test tests/unit/test_x.py", True),
        ("setsid hack/test tests/unit/test_x.py", False),
        ("nohup hack/test tests/unit/test_x.py", False),
    ],
)
def test_a_run_ends_with_its_caller(tree, start, ends):
    """Also if the caller is killed; unless the caller has said that it shall go on."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OCIRT_TEST")}
    caller = subprocess.Popen(
        ["bash", "-c", f"{start} & wait"],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    process = began(tree)
    try:
        caller.kill()
        caller.wait()
        assert bool(select.select([process], [], [], 30 if ends else 2)[0]) == ends
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        os.close(process)


def test_runs_with_different_parents_have_cgroups_of_their_own(monkeypatch):
    """Each removes all that is in its parent."""
    monkeypatch.setenv("OCIRT_TEST_PARENT", "/ocirt-other")
    names = [cells.beneath(name) for name in ("bench", "conformance")]
    assert names == ["/ocirt-other-bench", "/ocirt-other-conformance"]
    monkeypatch.delenv("OCIRT_TEST_PARENT")
    assert cells.beneath("bench") == "/ocirt-test-bench"
    scripts = [*(TREE / "hack/bench.d").rglob("*.[pc]*"), *(TREE / "conformance").glob("*.py")]
    fixed = [
        path.name
        for path in scripts
        if re.search(r'"/?ocirt-test-(bench|compare|conformance)', path.read_text(errors="replace"))
    ]
    assert fixed == []
