"""The words of the kernel's errors, which are the same whatever C library this Python has: engines look for the words of Go
and glibc, and musl has others.
"""

from errno import errorcode
from posix import strerror

WORDINGS = {
    "EIO": "input/output error",
    "ECHILD": "no child processes",
    "ENOMEM": "cannot allocate memory",
    "EBUSY": "device or resource busy",
    "EXDEV": "invalid cross-device link",
    "EMFILE": "too many open files",
    "ENOTTY": "inappropriate ioctl for device",
    "ESPIPE": "illegal seek",
    "EDOM": "numerical argument out of domain",
    "ERANGE": "numerical result out of range",
    "EDEADLK": "resource deadlock avoided",
    "EDEADLOCK": "resource deadlock avoided",
    "ENAMETOOLONG": "file name too long",
    "ELOOP": "too many levels of symbolic links",
    "ECHRNG": "channel number out of range",
    "EL2NSYNC": "level 2 not synchronized",
    "EL3HLT": "level 3 halted",
    "EL3RST": "level 3 reset",
    "ELNRNG": "link number out of range",
    "EUNATCH": "protocol driver not attached",
    "ENOCSI": "no CSI structure available",
    "EL2HLT": "level 2 halted",
    "EBADE": "invalid exchange",
    "EBADR": "invalid request descriptor",
    "EXFULL": "exchange full",
    "ENOANO": "no anode",
    "EBADRQC": "invalid request code",
    "EBADSLT": "invalid slot",
    "EBFONT": "bad font file format",
    "ETIME": "timer expired",
    "ENONET": "machine is not on the network",
    "ENOPKG": "package not installed",
    "EREMOTE": "object is remote",
    "EADV": "advertise error",
    "ESRMNT": "srmount error",
    "ECOMM": "communication error on send",
    "EDOTDOT": "RFS specific error",
    "EOVERFLOW": "value too large for defined data type",
    "ENOTUNIQ": "name not unique on network",
    "EREMCHG": "remote address changed",
    "ELIBACC": "can not access a needed shared library",
    "ELIBBAD": "accessing a corrupted shared library",
    "ELIBSCN": ".lib section in a.out corrupted",
    "ELIBMAX": "attempting to link in too many shared libraries",
    "ELIBEXEC": "cannot exec a shared library directly",
    "EILSEQ": "invalid or incomplete multibyte or wide character",
    "ERESTART": "interrupted system call should be restarted",
    "ESTRPIPE": "streams pipe error",
    "EUSERS": "too many users",
    "ENOTSOCK": "socket operation on non-socket",
    "EMSGSIZE": "message too long",
    "ENOTSUP": "operation not supported",
    "EOPNOTSUPP": "operation not supported",
    "EADDRINUSE": "address already in use",
    "EADDRNOTAVAIL": "cannot assign requested address",
    "ENETUNREACH": "network is unreachable",
    "ENETRESET": "network dropped connection on reset",
    "ECONNABORTED": "software caused connection abort",
    "EISCONN": "transport endpoint is already connected",
    "ENOTCONN": "transport endpoint is not connected",
    "ESHUTDOWN": "cannot send after transport endpoint shutdown",
    "ETOOMANYREFS": "too many references: cannot splice",
    "ETIMEDOUT": "connection timed out",
    "EHOSTUNREACH": "no route to host",
    "EINPROGRESS": "operation now in progress",
    "EUCLEAN": "structure needs cleaning",
    "ENOTNAM": "not a XENIX named type file",
    "ENAVAIL": "no XENIX semaphores available",
    "EISNAM": "is a named type file",
    "EDQUOT": "disk quota exceeded",
    "EOWNERDEAD": "owner died",
    "ERFKILL": "operation not possible due to RF-kill",
}
"""Those that musl has otherwise, or not at all."""


def words_of(number: int) -> str:
    """The text of the error ``number`` as Go and the executable write it: ``no such file or directory``."""
    return WORDINGS.get(errorcode.get(number, "")) or in_a_sentence(strerror(number))


def in_a_sentence(text: str) -> str:
    """``text`` with a small first letter, unless more than one is capital."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
