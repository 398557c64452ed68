"""The words of the command line: ocirt.model.request."""

import json

import pytest

from ocirt.errors import RequestError
from ocirt.model.request import Request
from ocirt.model.text import Trace
from tests.unit.plans import request


def error(**words):
    with pytest.raises(RequestError) as caught:
        request(**words)
    return str(caught.value)


def test_defaults():
    made = request()
    assert (made.verb, made.id, made.bundle, made.root) == ("create", "c1", "/bundle", "/run/ocirt")
    assert (made.cgroup_manager, made.rootless, made.preserve_fds) == ("auto", "auto", 0)
    assert not (made.systemd_cgroup or made.no_pivot or made.no_new_keyring or made.detach or made.init)
    assert made.console_socket is made.pidfd_socket is made.pid_file is made.own_cgroups is None


def test_flags():
    made = request(
        no_pivot="1",
        no_new_keyring="1",
        preserve_fds="3",
        rootless="false",
        detach="1",
        verb="run",
        log="/l",
        self="5",
        unknown="x",
    )
    assert made.no_pivot and made.no_new_keyring and made.preserve_fds == 3 and made.rootless == "false"
    assert made.is_detached and not request(verb="run").is_detached and request().is_detached


def test_systemd_cgroup_is_the_manager_unless_one_is_named():
    assert request(systemd_cgroup="1").cgroup_manager == "systemd"
    assert request(systemd_cgroup="1", cgroup_manager="auto").cgroup_manager == "systemd"
    assert request(systemd_cgroup="1", cgroup_manager="disabled").cgroup_manager == "disabled"


@pytest.mark.parametrize("id", ["a", "A-b_c+d.e", "..a", "-", "0" * 255])
def test_ids(id):
    assert request(id=id).id == id


@pytest.mark.parametrize("id", ["a/b", "..", ".", "a b", "a\n", "ä", "a:b", "a\0", "١"])
def test_what_is_no_id(id):
    assert error(id=id).startswith("container id ") and "expected letters, digits and _+-. only" in error(id=id)


def test_ids_too_short_and_too_long():
    assert error(id="") == "container id cannot be empty"
    assert error(id="a" * 256).endswith("expected at most 255 letters")


@pytest.mark.parametrize(
    "words, message",
    [
        ({"preserve_fds": "-1"}, '--preserve-fds "-1": expected a number of descriptors'),
        ({"preserve_fds": "two"}, '--preserve-fds "two": expected a number of descriptors'),
        ({"preserve_fds": "9" * 30}, f'--preserve-fds "{"9" * 30}": expected a number of descriptors'),
        ({"preserve_fds": "³"}, '--preserve-fds "\\u00b3": expected a number of descriptors'),
        ({"rootless": "maybe"}, '--rootless "maybe": expected auto, true or false'),
        ({"cgroup_manager": "x"}, '--cgroup-manager "x": expected auto, cgroupfs, systemd or disabled'),
    ],
)
def test_values_that_cannot_be_used(words, message):
    assert error(**words) == message


def test_texts():
    trace = Trace()
    text = request(pid_file="/p").text("pid-file", trace)
    assert (text.path, text.bound(), text.trace) == ("$pid-file", "/p", trace)
    assert request().text("id", trace).path == "$id"


def test_there_and_back():
    made = request(
        no_pivot="1",
        preserve_fds="2",
        rootless="true",
        console_socket="/s",
        pid_file="/p",
        detach="1",
        verb="run",
        cgroup_manager="disabled",
    )
    stored = json.loads(made.to_json({"/sys/fs/cgroup/cpu": "/own"}))
    again = Request({**stored, "id": "c1", "bundle": "/bundle", "root": "/run/ocirt"})
    for name in ("verb", "no_pivot", "preserve_fds", "rootless", "detach", "cgroup_manager", "systemd_cgroup"):
        assert getattr(again, name) == getattr(made, name), name
    assert again.own_cgroups == {"/sys/fs/cgroup/cpu": "/own"}
    assert again.console_socket is not None and again.pid_file is None


def test_what_is_kept_is_the_same_for_every_container():
    first = request(id="a", bundle="/x", console_socket="/s1", pid_file="/p1").to_json({})
    assert first == request(id="b", bundle="/y", console_socket="/s2", pidfd_socket="/q").to_json({})
    assert json.loads(first)["own-cgroups"] == {}
