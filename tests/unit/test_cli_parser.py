"""The command line as runc reads it."""

import shlex
from importlib import import_module

import pytest

from ocirt.cli import help
from ocirt.cli.flags import GLOBAL, PYTHON, VERBS
from ocirt.cli.parser import UnknownVerb, UsageError, log_of, parse


def line(text):
    return parse(["ocirt", *text.split()])


@pytest.mark.parametrize(
    "text",
    [
        "create --bundle B --pid-file F c",
        "create c --bundle B --pid-file F",
        "create -bundle=B c -pid-file=F",
        "create -b B c --pid-file=F",
        "create --b=B --pid-file F -- c",
        "--debug=false create -b=B --pid-file F c",
    ],
)
def test_flags_stand_before_or_after_the_id_with_one_dash_or_two(text):
    read = line(text)
    assert (read.verb, read.arguments) == ("create", ["c"])
    assert (read.options.bundle, read.options.pid_file, read.options.debug) == ("B", "F", False)


@pytest.mark.parametrize(
    "value, answer",
    [
        ("1", True),
        ("t", True),
        ("T", True),
        ("true", True),
        ("TRUE", True),
        ("True", True),
        ("0", False),
        ("f", False),
        ("false", False),
    ],
)
def test_a_switch_takes_what_go_calls_a_bool(value, answer):
    assert line(f"list --quiet={value}").options.quiet is answer
    assert line(f"--debug={value} list").options.debug is answer


def test_a_switch_takes_no_word_after_it():
    read = line("delete --force c")
    assert read.options.force is True and read.arguments == ["c"]


def test_the_last_of_two_flags_counts():
    assert line("--root a --root b list").options.root == "b"
    assert line("list -q --quiet=false").options.quiet is False


def test_a_value_may_begin_with_a_dash_or_be_empty():
    assert line("create --bundle --force c").options.bundle == "--force"
    assert parse(["ocirt", "create", "--bundle=", "c"]).options.bundle is None
    assert line("exec --env= c").options.env == [""]


@pytest.mark.parametrize(
    "text",
    [
        "create --pid-file= c",
        "create --pid-file a --pid-file= c",
        "create --preserve-fds= c",
        "--log= --log-format= create c",
    ],
)
def test_an_empty_value_means_not_given(text):
    """As with runc; the launcher reads these lines alike (tests/integration/test_log.py)."""
    read = line(text)
    assert (read.options.pid_file, read.options.preserve_fds, read.options.log, read.log.format) == (
        None,
        None,
        None,
        "text",
    )
    assert read.words == ["ocirt", "create", "--", "c"]


def test_after_two_dashes_everything_is_an_argument():
    assert line("start -- -c").arguments == ["-c"]
    assert line("kill c -").arguments == ["c", "-"]


def test_what_follows_the_id_of_exec_is_the_command():
    read = line("exec -t --env A=1 -e B=2 c ls -t --help -- -e x")
    assert read.arguments == ["c", "ls", "-t", "--help", "--", "-e", "x"] and not read.wants_help
    assert read.words[1:] == ["exec", "--tty=true", "--env=A=1", "--env=B=2", "--", *read.arguments]
    assert line("exec c").arguments == ["c"]


def test_global_flags_stand_before_the_verb():
    read = line("--root R --log L --log-format json --systemd-cgroup --cgroup-manager disabled --rootless true list")
    options = read.options
    assert (options.root, options.systemd_cgroup, options.cgroup_manager, options.rootless) == (
        "R",
        True,
        "disabled",
        "true",
    )
    assert (read.log.path, read.log.format) == ("L", "json")
    with pytest.raises(UsageError, match="flag provided but not defined: -root"):
        line("list --root R")


@pytest.mark.parametrize(
    "text, message",
    [
        ("--foo", "flag provided but not defined: -foo"),
        ("list -foo=1", "flag provided but not defined: -foo"),
        ("list --form table", "flag provided but not defined: -form; did you mean --format?"),
        ("list -qf", "flag provided but not defined: -qf"),
        ("list ---quiet", "flag provided but not defined: --quiet; did you mean --quiet?"),
        ("--root", "flag needs an argument: -root"),
        ("list -f", "flag needs an argument: -f"),
        ("list --quiet=3", 'invalid boolean value "3" for -quiet: parse error'),
        ("--debug=maybe list", 'invalid boolean value "maybe" for -debug: parse error'),
        ("create", 'ocirt: "create" requires exactly 1 argument(s), found 0'),
        ("create a b", 'ocirt: "create" requires exactly 1 argument(s), found 2'),
        ("list a", 'ocirt: "list" requires exactly 0 argument(s), found 1'),
        ("kill", 'ocirt: "kill" requires a minimum of 1 argument(s), found 0'),
        ("exec", 'ocirt: "exec" requires a minimum of 1 argument(s), found 0'),
        ("exec --user", "flag needs an argument: -user"),
        ("kill a b c", 'ocirt: "kill" requires a maximum of 2 argument(s), found 3'),
        ("plan a b", 'ocirt: "plan" requires a maximum of 1 argument(s), found 2'),
        ("create --preserve-fds=-1 a", '--preserve-fds: found "-1", expected a number from 0 on'),
        ("create --preserve-fds ² a", '--preserve-fds: found "²", expected a number from 0 on'),
    ],
)
def test_usage_errors(text, message):
    with pytest.raises(UsageError) as caught:
        line(text)
    assert str(caught.value) == message
    assert caught.value.hint.startswith("see ocirt ") and caught.value.hint.endswith(" --help")


@pytest.mark.parametrize(
    "text, flag",
    [
        ("list --format xml", "--format"),
        ("--log-format xml list", "--log-format"),
        ("--cgroup-manager x list", "--cgroup-manager"),
        ("--rootless=1 list", "--rootless"),
    ],
)
def test_a_value_that_is_not_one_of_the_choices(text, flag):
    with pytest.raises(UsageError) as caught:
        line(text)
    assert str(caught.value).startswith(f'{flag}: found "')


@pytest.mark.parametrize("flag", ["cgroup-manager", "rootless"])
def test_a_default_may_be_given(flag):
    """What help names as the default is one of the choices."""
    assert getattr(line(f"--{flag} auto list").options, flag.replace("-", "_")) == "auto"


def test_a_number_is_read():
    assert line("create --preserve-fds 3 c").options.preserve_fds == 3


@pytest.mark.parametrize("text", ["foo", "help foo", "--debug foo --help", "h foo"])
def test_unknown_verbs(text):
    with pytest.raises(UnknownVerb, match="^No help topic for 'foo'$"):
        line(text)


@pytest.mark.parametrize(
    "text", ["", "help", "h", "help help", "help h", "--help", "-h", "-help", "--help list", "--debug"]
)
def test_general_help(text):
    read = line(text)
    assert read.wants_help and read.verb == ""


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb(verb):
    for text in (
        f"{verb} --help",
        f"{verb} -h",
        f"help {verb}",
        f"{verb} -h a b c" if VERBS[verb].command else f"{verb} a b c -h",
    ):
        read = line(text)
        assert read.wants_help and read.verb == verb
    shown = help.of_verb(verb)
    words = " ".join(shown.split())  # a long line goes on in the next one
    for flag in VERBS[verb].flags:
        assert f"   --{flag.name}" in shown and flag.help in words
    assert f"   ocirt {verb} - {VERBS[verb].help}\n" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_examples_in_the_help_of_each_verb(verb):
    """The command line takes each of them, and all of it is of the verb that it explains."""
    shown = help.of_verb(verb)
    assert help.EXAMPLES[verb]
    for command, what in help.EXAMPLES[verb]:
        assert f"   # {what}\n   {command}\n" in shown
        assert what.endswith(".") and what[0].isupper()
        read = parse(shlex.split(command.partition(" >")[0]))  # the shell takes a redirection
        assert (read.words[0], read.verb, read.wants_help) == ("ocirt", verb, False)


def test_general_help_names_every_verb_and_flag():
    shown = help.general()
    for verb in VERBS:
        assert f"\n   {verb} " in shown
    for flag in GLOBAL:
        assert f"\n   --{flag.name}" in shown


def test_help_fits_a_wide_terminal():
    for shown in (help.general(), *map(help.of_verb, VERBS)):
        assert max(map(len, shown.splitlines())) <= 115


def test_the_version_is_a_flag():
    assert line("--debug --version").options.version is True


@pytest.mark.parametrize(
    "text",
    [
        "create -b B c",
        "-debug=T run --detach=t c -f F",
        "list -q",
        "kill -a c 9",
        "--log=L delete -force c",
        "plan B --slots",
    ],
)
def test_the_plain_form_is_read_the_same(text):
    read = line(text)
    again = parse(read.words)
    assert (again.verb, again.arguments, again.options) == (read.verb, read.arguments, read.options)
    assert again.words == read.words


def test_the_plain_form_has_nothing_that_the_executable_does_not_know():
    """core/launch/request.c: a switch takes true and false, -- only after the verb."""
    assert line("-debug=T -- create -no-pivot=F c").words == [
        "ocirt",
        "--debug=true",
        "create",
        "--no-pivot=false",
        "--",
        "c",
    ]


@pytest.mark.parametrize(
    "text, path, format",
    [
        ("--log L --log-format json --foo list", "L", "json"),
        ("--log L --log-format xml list", "L", "text"),
        ("--log L --log-format", "L", "text"),
        ("--foo --log L list", "", "text"),
        ("list --log L", "", "text"),
        ("--log L list --foo", "L", "text"),
        ("", "", "text"),
    ],
)
def test_the_log_is_found_in_a_command_line_that_cannot_be_read(text, path, format):
    log = log_of(["ocirt", *text.split()])
    assert (log.path, log.format) == (path, format)


@pytest.mark.parametrize("verb", PYTHON)
def test_each_verb_of_python_has_its_module(verb):
    assert callable(import_module(f"ocirt.cli.{verb}").run)
