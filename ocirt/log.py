"""The log: lines as runc's logrus writes them, because engines read them.

Without ``--log`` a line goes to standard error. With it the line is appended to that file, and the
message of an error goes to standard error too, as it is. On a terminal the format is the same.
With ``--status-fd`` a line goes to that descriptor, as JSON, and not to standard error, which is the container's.

Imported only once there is something to say: a create without errors does not pay for it.
"""

import time
from posix import O_APPEND, O_CLOEXEC, O_CREAT, O_WRONLY, close, write
from posix import open as posix_open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .errors import OcirtError

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+")
"""A message of these characters alone is not quoted in text format."""

_GO_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
               "\\": "\\\\", '"': '\\"'}
_JSON_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", '"': '\\"'}


def go_quoted(text: str) -> str:
    """``text`` as Go's ``strconv.Quote`` writes it."""
    return '"' + "".join([_GO_ESCAPES.get(letter) or _go_letter(letter) for letter in text]) + '"'


def _go_letter(letter: str) -> str:
    code = ord(letter)
    if letter.isprintable():
        return letter
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python carries it
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


class Log:
    """Where the log goes, and how.

    :param path: of ``--log``; empty for standard error.
    :param format: of ``--log-format``: ``text`` or ``json``.
    :param debug: whether debug lines are written.
    :param reader: the descriptor of ``--status-fd``, -1 without one.
    """

    __slots__ = ("path", "format", "is_debug", "reader")

    def __init__(self, path: str = "", format: str = "text", debug: bool = False, reader: int = -1) -> None:
        self.path, self.format, self.is_debug, self.reader = path, format, debug, reader

    @classmethod
    def of(cls, words: "Mapping[str, str]") -> "Log":
        """The log that the launcher's ``key=value`` words (a dict) ask for."""
        return cls(words.get("log", ""), words.get("log-format", "text"), words.get("debug") == "1",
                   int(words.get("status-fd") or -1))

    def error(self, message: str, about: "OcirtError | None" = None) -> None:
        """Log what ends this process.

        :param about: the OcirtError that it is: lines in JSON say of which kind, of which phase and of which path.
        """
        if self._line("error", message, about):
            _write(2, message + "\n")

    def warning(self, message: str) -> None:
        self._line("warning", message)

    def debug(self, message: str) -> None:
        """Log ``message`` where ``--debug`` was given."""
        if self.is_debug:
            self._line("debug", message)

    def _line(self, level: str, message: str, about: "OcirtError | None" = None) -> bool:
        """Write one line. Returns whether it went to the file of ``--log``, and standard error is to have it too."""
        if self.reader >= 0:
            _write(self.reader, json_line(level, message, about) + "\n")
            if not self.path:
                return False
        line = self.line(level, message, about) + "\n"
        if self.path:
            try:
                fd = posix_open(self.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
                try:
                    _write(fd, line)
                    return self.reader < 0
                finally:
                    close(fd)
            except OSError:
                pass  # a log that cannot be written must not swallow the message
        _write(2, line)
        return False

    def line(self, level: str, message: str, about: "OcirtError | None" = None) -> str:
        """The line for ``message``, without its end."""
        if self.format == "json":
            return json_line(level, message, about)
        quoted = message if _PLAIN.issuperset(message) else go_quoted(message)
        return f'time="{_now()}" level={level} msg={quoted}'


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def json_line(level: str, message: str, about: "OcirtError | None" = None) -> str:
    """The line in JSON: logrus's members, and after them, of an error ``about``, those of ours that are known."""
    more = "" if about is None else f',"kind":"{type(about).__name__}"'
    for name in ("phase", "path"):
        if getattr(about, name, None):
            more += f',"{name}":{json_quoted(getattr(about, name))}'
    if about is not None and about.errno:
        more += f',"errno":{about.errno}'
    return f'{{"level":"{level}","msg":{json_quoted(message)},"time":"{_now()}"{more}}}'


def _write(fd: int, text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    while data:
        data = data[write(fd, data):]
