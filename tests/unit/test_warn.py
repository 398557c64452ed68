"""What the library warns of points to the line of the program that has called it."""

import asyncio
import linecache
import warnings

import pytest

from ocirt.images import documents
from ocirt.library import eventloop, lifecycle
from ocirt.library.supervisor import Supervisor
from ocirt.library.thread import in_thread
from ocirt.library.waiting import drive
from ocirt.library.warn import warn

FOREIGN = {"os": "linux", "architecture": "s390x"}


def lines(caught):
    """The lines that warnings point to."""
    return [linecache.getline(each.filename, each.lineno).split("#")[0].strip() for each in caught]


def test_however_many_frames_lie_between():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        documents.check_platform(FOREIGN, None, "image")
        warn("here")
    assert lines(caught) == ['documents.check_platform(FOREIGN, None, "image")', 'warn("here")']
    assert [each.filename for each in caught] == [__file__] * 2 and caught[0].category is RuntimeWarning


def warnings_of_a_thread(stop):
    documents.check_platform(FOREIGN, None, "image")
    return "done"


def test_the_caller_waits_for_a_thread():
    """The thread has no line of the program's in its stack."""

    async def main():
        return await eventloop.drive(in_thread(warnings_of_a_thread))  # of a coroutine

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert drive(in_thread(warnings_of_a_thread)) == "done"  # of a function
        assert asyncio.run(main()) == "done"
    assert lines(caught) == [
        'assert drive(in_thread(warnings_of_a_thread)) == "done"',
        "return await eventloop.drive(in_thread(warnings_of_a_thread))",
    ]
    assert {each.filename for each in caught} == {__file__}


def test_a_thread_that_fails_has_warned():
    def work(stop):
        warnings_of_a_thread(stop)
        raise KeyError

    with pytest.warns(RuntimeWarning, match="s390x"), pytest.raises(KeyError):
        drive(in_thread(work))


def test_what_the_executable_warns_of():
    supervisor = Supervisor(None, "c1", [], None)
    supervisor.lines += [{"level": "warning", "msg": "odd"}, {"level": "debug", "msg": "even"}]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lifecycle.pass_on_warnings(supervisor)
    assert [str(each.message) for each in caught] == ["container c1: odd"]
    assert lines(caught) == ["lifecycle.pass_on_warnings(supervisor)"]
