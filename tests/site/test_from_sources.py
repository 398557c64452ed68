"""Pages of the site that hack/docs.d makes from sources."""

from pathlib import Path
from types import ModuleType

import library
import manual
import messages
import pytest
import verbs

import ocirt
from ocirt.cli import help
from ocirt.cli.flags import GLOBAL, VERBS
from ocirt.compile import annotations

TREE = Path(__file__).parents[2]


def test_the_page_of_verbs_has_what_the_help_has():
    page = verbs.page()
    for flag in GLOBAL:
        assert f"| `--{flag.name}" in page
    parts = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    for name, verb in VERBS.items():
        assert f"| [{name}](#{name}) |" in page
        for flag in verb.flags:
            assert f"| `--{flag.name}{f' {flag.value}' if flag.value else ''}`" in parts[name]
        for command, _ in help.EXAMPLES[name]:
            assert f"\n    {command}\n" in parts[name]


def test_what_markdown_would_read_in_its_own_way():
    assert verbs.plain('run "ocirt kill --all a_b", --log-level x, a*b_c [d]') == (
        "run `ocirt kill --all a_b`, `--log-level` x, a\\*b\\_c \\[d]"
    )


def test_a_manual_page_in_markdown():
    page = ".TH X 7\n.SH NAME\nx \\- y\n.SH DESCRIPTION\nFirst\n.IR file .\n.PP\n.B a \\-\\-b\nuses\n.BR ocirt\\-run (1).\n"
    page += (
        '.SS systemd\n.TP\n.BR one ", " two\nText.\n.nf\n.RS 4\n"a": 1\n.RE\n.fi\n.SH EXIT STATUS\n.SH SEE ALSO\nx\n'
    )
    assert manual.markdown(page, "Title") == (
        "# Title\n\nFirst\n*file*.\n\n`a --b`\nuses\n[`ocirt run`](verbs.md#run).\n\n## systemd\n\n"
        '- `one`, `two`:\nText.\n\n    "a": 1\n\n\n## Exit status\n\n'.replace("\n\n\n", "\n\n")
    )
    with pytest.raises(ValueError, match="the macro .XY"):
        manual.markdown(".SH DESCRIPTION\n.XY z\n", "Title")


def test_the_page_of_annotations_names_all_that_have_an_effect():
    page = manual.markdown((TREE / "man/ocirt-annotations.7").read_text(), "Annotations")
    assert [name for name in annotations.KNOWN if name not in page] == [] and "\\" not in page


def test_the_page_of_the_library_has_each_public_name():
    page = library.page()
    for name in ocirt.__all__:
        if isinstance(getattr(ocirt, name), ModuleType):
            continue
        assert f"\n::: ocirt.{name}\n" in page and f"| [`{name}`](#ocirt.{name}) | " in page
    for name in ("run", "Container", "Pool", "Process"):
        assert f"\n::: ocirt.aio.{name}\n" in page


def test_messages_of_python():
    source = 'raise HostError(path, f"this kernel runs without {name} ({why})")\nraise ConfigError(at, found(x), "a string" + more)\n'
    source += 'raise RequestError("--flag: found none, "\n    "expected one", "flag")\nraise StateError(id, text)\nraise OcirtError()\n'
    assert list(messages.of_python(source)) == [
        ("HostError", "this kernel runs without NAME (WHY)"),
        ("ConfigError", "a string…"),
        ("RequestError", "--flag: found none, expected one"),
    ]


def test_messages_of_c():
    source = 'fail("container %s: %e", c->id, e);\nwarn("one "\n  "\\"two\\" %d");\nput(to, "not this one");\n'
    assert list(messages.of_c(source + 'failing_because(r, call, e, "why not");')) == [
        "container …: …",
        'one "two" …',
        "why not",
    ]


def test_the_page_of_errors_has_messages_of_both():
    page = messages.page()
    for message in ("container does not exist: …", "ocirt needs Linux LEAST or newer; this is FOUND"):
        assert f"- `` {message} ``\n" in page
    assert page.count("\n- ") > 200
