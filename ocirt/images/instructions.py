"""Changes of an image's config, in the words of a Dockerfile, as ``docker commit --change`` takes them."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import RequestError

Config = dict[str, Any]


def apply(config: Mapping[str, Any], instructions: Sequence[str]) -> Config:
    """The member ``config`` of an image's config, changed.

    :param instructions: like ``CMD ["python3"]`` or ``ENV LANG=C.UTF-8``.
    :raises RequestError: one of them cannot be used.
    """
    changed = dict(config)
    for each in instructions:
        word, _, rest = each.strip().partition(" ")
        change = KNOWN.get(word.upper())
        if change is None or not rest.strip():
            raise RequestError(
                f"--change {each!r}: expected an instruction ({', '.join(sorted(KNOWN))}) and its value", "change"
            )
        try:
            change(changed, rest.strip())
        except ValueError as error:
            raise RequestError(f"--change {each!r}: {error}", "change") from None
    return changed


def _command(name: str) -> Callable[[Config, str], None]:
    def change(config: Config, text: str) -> None:
        config[name] = _array(text) if text.startswith("[") else ["/bin/sh", "-c", text]

    return change


def _entrypoint(config: Config, text: str) -> None:
    # As in a Dockerfile: the command of the image below was meant for its own entry point.
    config.pop("Cmd", None)
    _command("Entrypoint")(config, text)


def _text(name: str) -> Callable[[Config, str], None]:
    def change(config: Config, text: str) -> None:
        config[name] = text

    return change


def _directory(config: Config, text: str) -> None:
    config["WorkingDir"] = posixpath.normpath(posixpath.join(config.get("WorkingDir") or "/", text))


def _environment(config: Config, text: str) -> None:
    pairs = _pairs(text)
    kept = [each for each in config.get("Env") or () if each.partition("=")[0] not in pairs]
    config["Env"] = kept + [f"{name}={value}" for name, value in pairs.items()]


def _labels(config: Config, text: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **_pairs(text)}


def _volumes(config: Config, text: str) -> None:
    paths = _array(text) if text.startswith("[") else shlex.split(text)
    config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}


def _ports(config: Config, text: str) -> None:
    found = {}
    for port in shlex.split(text):
        number, slash, protocol = port.partition("/")
        if (
            not number.isdecimal()
            or not 0 < int(number) < 1 << 16
            or (slash and protocol not in ("tcp", "udp", "sctp"))
        ):
            raise ValueError(f"found the port {port!r}, expected a number and /tcp, /udp or /sctp")
        found[f"{number}/{protocol or 'tcp'}"] = dict[str, Any]()
    config["ExposedPorts"] = {**(config.get("ExposedPorts") or {}), **found}


def _array(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError('expected an array of strings, like ["python3", "-i"]')
    return found


def _pairs(text: str) -> dict[str, str]:
    """NAME=VALUE, several with spaces between; or the old form NAME VALUE."""
    name, space, rest = text.partition(" ")
    if space and "=" not in name:
        return {name: rest.strip()}
    pairs = [each.partition("=") for each in shlex.split(text)]
    if not all(name and equals for name, equals, _ in pairs):
        raise ValueError("expected NAME=VALUE")
    return {name: value for name, _, value in pairs}


KNOWN: dict[str, Callable[[Config, str], None]] = {
    "CMD": _command("Cmd"),
    "ENTRYPOINT": _entrypoint,
    "ENV": _environment,
    "EXPOSE": _ports,
    "LABEL": _labels,
    "STOPSIGNAL": _text("StopSignal"),
    "USER": _text("User"),
    "VOLUME": _volumes,
    "WORKDIR": _directory,
}
