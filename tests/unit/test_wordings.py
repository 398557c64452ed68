"""The errors of the kernel have the same words with every C library."""

import errno
import os
import platform
import posix

import pytest

from ocirt import wordings
from ocirt.errors import reason
from ocirt.wordings import WORDINGS, in_a_sentence, words_of


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has other words")
@pytest.mark.parametrize("name", WORDINGS)
def test_the_words_are_those_of_glibc(name):
    assert WORDINGS[name] == in_a_sentence(os.strerror(getattr(errno, name)))


@pytest.fixture
def musl(monkeypatch):
    """A Python with musl, whose words these are."""
    words = {
        errno.ELOOP: "Symbolic link loop",
        errno.EUCLEAN: "No error information",
        errno.EPERM: "Operation not permitted",
    }
    for module in (posix, wordings):
        monkeypatch.setattr(module, "strerror", words.__getitem__)
    return words


def test_musl_has_no_words_of_its_own(musl):
    assert [words_of(number) for number in musl] == [
        "too many levels of symbolic links",
        "structure needs cleaning",
        "operation not permitted",
    ]
    assert [reason(OSError(number, text)) for number, text in musl.items()] == [words_of(number) for number in musl]


def test_what_ocirt_itself_says_of_an_error_stays(musl):
    assert reason(OSError(errno.ELOOP, "The links go round")) == "the links go round"
    assert reason(OSError("RPC failed")) == "RPC failed"
