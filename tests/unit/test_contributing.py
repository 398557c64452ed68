"""CONTRIBUTING.md: what it says of where changes go is true, and so are its commands; docs/index.md lists every page."""

import re
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
TEXT = (TREE / "CONTRIBUTING.md").read_text()
SECTIONS = dict(re.findall(r"^### ([^\n]*)\n(.*?)(?=^##)", TEXT, re.S | re.M))
PATTERNS = {
    "A mount option": ("nosymfollow", r"\bnosymfollow\b"),
    "A verb": ("ps", r'(?m)^    "ps": (Verb|""")'),
    "A file of a controller": ("cpu.idle", r'\bcpu[.-]idle\b|\bidle = |"idle"'),
    "A namespace": ("uts", r'"uts"|\bUTS\b|"cgroup", "time"|\bTIME\b'),
    "A hook point": ("createContainer", r"\bcreateContainer\b|\bcreate_container\b"),
    "An annotation": ("run.oci.keep_original_groups", r"\bkeep_original_groups\b|\bkeeps_groups\b"),
    "A call of the library": ("Stats", r"\bStats\b"),
    "A step": ("SetDomainname", r"\bSetDomainname\b"),
    "A processor": ("aarch64", r'__aarch64__|"AARCH64"|SCMP_ARCH_AARCH64'),
}
"""How each list's example is looked for in what a change writes, ocirt/ and spec/; the module of a verb has its name."""

USERS = {"A hook point": {"ocirt/library/network.py"}}
"""Files that name the example because they use it: a new one changes nothing there."""


def places(section):
    """The list of a section: path -> the rest of the item."""
    items = re.findall(r"^- `([^`]+)`:((?:.*\n)(?:  .*\n)*)", SECTIONS[section], re.M)
    assert len(items) == len(re.findall(r"^- ", SECTIONS[section], re.M))
    return dict(items)


def found(section):
    """The files that name the example, or are named after it."""
    example, pattern = PATTERNS[section]
    users = USERS.get(section, set())
    for path in [path for folder in ("ocirt", "spec") for path in (TREE / folder).rglob("*")]:
        name = str(path.relative_to(TREE))
        if (
            name not in users
            and path.is_file()
            and path.suffix in (".py", ".c", ".h", ".json")
            and path.name != "_build.py"
        ):
            if name == f"ocirt/cli/{example}.py" or re.search(pattern, path.read_text()):
                yield name


def test_every_list_has_its_example():
    assert set(SECTIONS) == set(PATTERNS)
    for section, (example, _) in PATTERNS.items():
        assert SECTIONS[section].lstrip().startswith(f"Example: `{example}`.")


@pytest.mark.parametrize("section", PATTERNS)
def test_the_places_of_a_list(section):
    """Each file has the names that the list gives it; and the example stands in these files, and nowhere else."""
    for path, rest in places(section).items():
        text = (TREE / path).read_text()
        for name in re.findall(r"`(\w+)`", rest):  # tables and functions; a path has other letters, too
            assert re.search(rf"\b{name}\b", text), f"{path}: {name}"
    assert sorted(found(section)) == sorted(places(section))


def test_other_files_and_tests_that_are_named():
    for path in re.findall(r"`((?:ocirt|tests|docs|hack|spec|build/bin)/[\w./-]+)(?:::\w+)?[` ]", TEXT):
        assert path.startswith("build/") or "test_X" in path or (TREE / path).exists(), path
    for path in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (TREE / path).exists(), path


@pytest.mark.parametrize("page", ["docs/index.md", "docs/style.md", "CHANGELOG.md", "README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (TREE / page).read_text()):
        assert ((TREE / page).parent / target).exists(), target


def test_the_index_has_every_page_once():
    """For users or for maintainers: no page is both."""
    index = (TREE / "docs/index.md").read_text()
    listed = re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", index, re.M)
    pages = {path.name for path in (TREE / "docs").glob("*.md")} - {"index.md"}
    assert len(listed) == len(set(listed))
    assert {name for name in listed if not name.startswith("../")} == pages
    assert {"../README.md", "../SECURITY.md", "../CHANGELOG.md", "../CONTRIBUTING.md"} <= set(listed)


def test_the_changelog_is_one():
    """Keep a Changelog: Unreleased first, then versions with dates; the version of this tree is one of them."""
    import ocirt

    text = (TREE / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.*)$", text, re.M)
    assert versions[0] == "Unreleased" and all(
        re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", each) for each in versions[1:]
    )
    assert ocirt.__version__ in [each.partition(" ")[0] for each in versions]
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.M)) <= kinds
