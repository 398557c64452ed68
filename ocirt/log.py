"""The log: lines in the form of runc's logrus, because engines read them.

Without ``--log`` a line goes to standard error. With ``--log`` it goes to that file, to journald or to syslog, and the
message of an error goes to standard error as well, without the line's other parts. At a terminal a line is a sentence,
because a person reads it. ``core/base/log.c`` writes the same lines. With ``--status-fd`` a line goes to that
descriptor, as JSON, and not to standard error, which belongs to the container.

This module is imported only if there is something to log, so that a create without errors does not load it.
"""

import time
from posix import O_APPEND, O_CLOEXEC, O_CREAT, O_WRONLY, close, environ, getpid, isatty, write
from posix import open as posix_open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .errors import OcirtError

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+")
"""A message with only these characters is not quoted in text format."""

_GO_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
_JSON_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", '"': '\\"'}


def go_quoted(text: str) -> str:
    """``text`` as Go's ``strconv.Quote`` writes it."""
    return '"' + "".join([_GO_ESCAPES.get(letter) or _go_letter(letter) for letter in text]) + '"'


def _go_letter(letter: str) -> str:
    code = ord(letter)
    if letter.isprintable():
        return letter
    if 0xDC80 <= code <= 0xDCFF:  # Python's form of a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_quoted(text: str) -> str:
    """``text`` as Go's ``encoding/json`` writes it: ``<``, ``>``, ``&`` and line separators escaped."""
    return '"' + "".join([_JSON_ESCAPES.get(letter) or _json_letter(letter) for letter in text]) + '"'


def _json_letter(letter: str) -> str:
    if 0xD800 <= ord(letter) <= 0xDFFF:  # half a surrogate pair is no character
        return "\\ufffd"
    if letter < " " or letter in "<>&\u2028\u2029":
        return f"\\u{ord(letter):04x}"
    return letter


BACKENDS = {"journald:": "/run/systemd/journal/socket", "syslog:": "/dev/log"}
"""What ``--log`` may name other than a file, as in crun, and the socket that gets its lines."""
_PRIORITIES = {"error": 3, "warning": 4, "debug": 7}
"""The priorities of syslog(3)."""
_LOG_USER = 1 << 3


class Log:
    """Where the log goes, and in which form.

    :param path: of ``--log``: a file, ``journald:ID`` or ``syslog:ID``; empty for standard error.
    :param format: of ``--log-format``: ``text`` or ``json``.
    :param level: of ``--log-level``: ``error``, ``warning`` or ``debug``.
    :param reader: the descriptor of ``--status-fd``, -1 without one.
    """

    __slots__ = ("path", "format", "level", "reader")

    def __init__(self, path: str = "", format: str = "text", level: str = "warning", reader: int = -1) -> None:
        self.path, self.format, self.level, self.reader = path.removeprefix("file:"), format, level, reader

    @property
    def is_debug(self) -> bool:
        """Does the log have debug lines?"""
        return self.level == "debug"

    @classmethod
    def of(cls, words: "Mapping[str, str]") -> "Log":
        """The log that a request asks for."""
        level = "debug" if words.get("debug") == "1" else words.get("log-level", "warning")
        return cls(words.get("log", ""), words.get("log-format", "text"), level, int(words.get("status-fd") or -1))

    def check(self) -> None:
        """Check that the log can be opened.

        :raises OSError: it cannot.
        """
        if self.path:
            self._send("", b"")

    def error(self, message: str, about: "OcirtError | None" = None) -> None:
        """Log the error that ends this process.

        :param about: the error; its kind, phase and path become members of a line in JSON.
        """
        if self._line("error", message, about):
            _write(2, sentence("error", message, about) if isatty(2) else message + "\n")

    def warning(self, message: str) -> None:
        if self.level != "error":
            self._line("warning", message)

    def debug(self, message: str) -> None:
        """Log ``message`` if ``--debug`` is given."""
        if self.is_debug:
            self._line("debug", message)

    def _line(self, level: str, message: str, about: "OcirtError | None" = None) -> bool:
        """Write one line.

        :returns: whether it went to the file of ``--log``, so that standard error must get the message as well.
        """
        if self.reader >= 0:
            _write(self.reader, json_line(level, message, about) + "\n")
            if not self.path:
                return False
        if self.path:
            try:
                self._send(level, self._record(level, message, about))
                return self.reader < 0
            except OSError:
                pass  # the log cannot be written: the message goes to standard error
        in_words = self.format != "json" and isatty(2)
        _write(2, sentence(level, message, about) if in_words else self.line(level, message, about) + "\n")
        return False

    def _backend(self) -> str:
        """The prefix of a path that is no file; empty for a file."""
        return next((each for each in BACKENDS if self.path.startswith(each)), "")

    @property
    def opened(self) -> str:
        """What :meth:`check` does, in the words of the executable."""
        backend = self._backend()
        return f"connect to {BACKENDS[backend]}" if backend else "open"

    def _record(self, level: str, message: str, about: "OcirtError | None") -> bytes:
        """What the log gets for a message: a line of the file, or a datagram."""
        backend = self._backend()
        name, text = self.path.removeprefix(backend), message.encode("utf-8", "replace")
        if backend == "syslog:":
            return f"<{_LOG_USER | _PRIORITIES[level]}>{name}[{getpid()}]: ".encode() + text
        if backend == "journald:":
            head = f"PRIORITY={_PRIORITIES[level]}\nSYSLOG_IDENTIFIER={name}\nMESSAGE\n".encode()
            return head + len(text).to_bytes(8, "little") + text + b"\n"
        return _encoded(self.line(level, message, about) + "\n")

    def _send(self, level: str, record: bytes) -> None:
        """Give ``record`` to the log; if it is empty, only open the log.

        :raises OSError: the log cannot be opened or written.
        """
        backend = self._backend()
        if backend:
            from socket import AF_UNIX, SOCK_DGRAM, socket

            with socket(AF_UNIX, SOCK_DGRAM) as to:
                to.connect(BACKENDS[backend])
                if record:
                    to.send(record)
            return
        fd = posix_open(self.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        try:
            _write_bytes(fd, record)
        finally:
            close(fd)

    def line(self, level: str, message: str, about: "OcirtError | None" = None) -> str:
        """The line for ``message``, without its newline."""
        if self.format == "json":
            return json_line(level, message, about)
        quoted = message if _PLAIN.issuperset(message) else go_quoted(message)
        return f'time="{_now()}" level={level} msg={quoted}'


_COLOURS = ("\x1b[1;33m", "\x1b[1;31m")
"""Yellow for a warning, red for an error."""


def sentence(level: str, message: str, about: "OcirtError | None" = None) -> str:
    """The text for a person at a terminal: the message, and a second line with what to do."""
    colour, plain = (_COLOURS[level == "error"], "\x1b[0m") if _wants_colours() else ("", "")
    hint = f"  {about.hint}\n" if about is not None and about.hint else ""
    shown = "".join([_shown(letter) for letter in message])
    return f"{colour}ocirt:{plain} {'' if level == 'error' else level + ': '}{shown}\n{hint}"


def _shown(letter: str) -> str:
    """A letter for a terminal. One that would move the cursor or change the colours is shown by its number."""
    moves = letter < " " and letter not in "\n\t" or "\x7f" <= letter < "\xa0"
    return f"\\x{ord(letter):02x}" if moves else "\ufffd" if "\ud800" <= letter <= "\udfff" else letter


def _wants_colours() -> bool:
    """Are colours wanted? See no-color.org; some terminals have none."""
    return not environ.get(b"NO_COLOR") and environ.get(b"TERM", b"") not in (b"", b"dumb")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def json_line(level: str, message: str, about: "OcirtError | None" = None) -> str:
    """The line in JSON: logrus's members, and for an error ``about`` the known ones of ocirt's."""
    more = "" if about is None else f',"kind":"{type(about).__name__}"'
    for name in ("phase", "path"):
        if getattr(about, name, None):
            more += f',"{name}":{json_quoted(getattr(about, name))}'
    if about is not None and about.errno:
        more += f',"errno":{about.errno}'
    return f'{{"level":"{level}","msg":{json_quoted(message)},"time":"{_now()}"{more}}}'


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _write(fd: int, text: str) -> None:
    _write_bytes(fd, _encoded(text))


def _write_bytes(fd: int, data: bytes) -> None:
    """Write as much as possible. If standard error cannot be written, only the exit status can report the error."""
    while data:
        try:
            data = data[write(fd, data) :]
        except OSError:
            if fd != 2:
                raise
            return
