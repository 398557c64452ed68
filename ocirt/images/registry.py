"""A registry, by the client oras (``pip install ocirt[images]``)."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from inspect import unwrap
from typing import Any

from ..errors import HostError
from ..failures import ImageError, NoImage
from ..packages import command_for, load
from .documents import INDEXES, MANIFESTS, Descriptor
from .names import DEFAULT_REGISTRY, Name
from .store import CHUNK, DOCUMENT_MAX, hex_of

HUB = "registry-1.docker.io"
"""The host that serves what is called docker.io."""
CONNECT_TIMEOUT, READ_TIMEOUT = 15.0, 60.0
"""Seconds until a registry answers, and between two parts of an answer."""
PART = 1 << 16
"""Bytes that are asked for at once: the client waits until it has them all."""
ATTEMPTS = 4
"""How often the rest of a blob is asked for, if connections break that have brought nothing. A connection that has
brought PART or more begins the count again: so a network that breaks often is slow, and no error."""
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, PARTIAL, OK = 401, 403, 404, 206, 200
BUSY, BROKEN = 429, 500
RETRIED = (BUSY, BROKEN, 502, 503, 504)
WAIT_MAX = 30
"""Seconds. A registry that wants to be asked again later than that is not waited for: it may say a day."""


@dataclass(slots=True)
class Registry:
    """A registry, or a mirror of one.

    :param host: host and port, for a mirror with a path that precedes each repository.
    :param name: of the image.
    :param credentials: user name and password, if any.
    :param insecure: may the registry have an unknown certificate, or speak HTTP?
    """

    host: str
    name: Name
    credentials: tuple[str, str] | None = None
    insecure: bool = False
    _client: Any = field(default=None, init=False)
    _request: Any = field(default=None, init=False)
    _scheme: str = field(default="https", init=False)
    _trouble: str = field(default="", init=False)
    """What keeps another server, that for tokens, from giving any: it is busy or broken."""

    @property
    def repository(self) -> str:
        path = self.host.partition("/")[2]
        return f"{path}/{self.name.repository}" if path else self.name.repository

    def url(self, *parts: str) -> str:
        host = self.host.partition("/")[0]
        return "/".join([f"{self._scheme}://{HUB if host == DEFAULT_REGISTRY else host}/v2", *parts])

    def close(self) -> None:
        """Close the connections, which the client keeps open for more."""
        if self._client is not None:
            self._client.session.close()

    def connect(self) -> None:
        """Find out how to speak to the registry, and which kind of credentials it takes.

        :raises ImageError: it cannot be reached.
        """
        oras = _package("oras.provider")
        requests = _package("requests")
        answer = None
        for scheme in ("https", "http") if self.insecure else ("https",):
            self._scheme = scheme
            self._client = self._made(oras, "token")
            try:
                with self._errors():
                    answer = self._client.session.get(self.url(""), verify=not self.insecure, stream=True)
                    answer.close()
                    break
            except ImageError as error:
                if scheme == "http" or not self.insecure or isinstance(error.__context__, requests.ReadTimeout):
                    raise
        assert answer is not None
        if answer.headers.get("Www-Authenticate", "").lower().startswith("basic"):
            if self.credentials is None:
                raise ImageError(f"registry {self.host}: wants a user name and a password; `podman login` stores them")
            self._client = self._made(oras, "basic")
        # Without the client's own wrapper, which repeats what must fail, for minutes. _adapter() repeats what may succeed.
        self._request = partial(unwrap(type(self._client).do_request), self._client)
        if self.credentials is not None:
            self._client.auth.set_basic_auth(*self.credentials)

    def _made(self, oras: Any, backend: str) -> Any:
        self.close()
        client = oras.Registry(insecure=self._scheme == "http", tls_verify=not self.insecure, auth_backend=backend)
        adapter = _adapter()
        for scheme in ("https://", "http://"):
            client.session.mount(scheme, adapter)
        client.session.hooks["response"].append(self._note)
        return client

    def _note(self, answer: Any, **_: Any) -> None:
        """Remember an answer of a server for tokens, of which the client says only that there is no token."""
        if not answer.url.startswith(self.url("")) and (answer.status_code == BUSY or answer.status_code >= BROKEN):
            server = answer.url.partition("?")[0]
            self._trouble = (
                f"{server}, which it names for tokens, answers HTTP {answer.status_code}{_said(answer)}{_later(answer)}"
            )

    def manifest(self, reference: str) -> tuple[bytes, str]:
        """A manifest or an index, and its media type as the registry says it.

        :param reference: a tag or a digest.
        :raises NoImage: the registry has none.
        :raises ImageError: the answer is broken, or has another digest than the reference.
        """
        headers = {"Accept": ", ".join([*MANIFESTS, *INDEXES])}
        with self._errors():
            answer = self._get(self.url(self.repository, "manifests", reference), headers)
            data = answer.raw.read(DOCUMENT_MAX + 1, decode_content=True)
            answer.close()
        if len(data) > DOCUMENT_MAX:
            raise ImageError(f"{self.name}: found a manifest of more than {DOCUMENT_MAX} bytes")
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if reference.startswith("sha256:") and found != reference:
            raise ImageError(f"{self.name}: found a manifest with the digest {found}, expected {reference}")
        return data, answer.headers.get("Content-Type", "").partition(";")[0].strip()

    def blob(self, descriptor: Descriptor, is_cancelled: Callable[[], bool]) -> Iterator[bytes]:
        """The content of a blob, as it comes. If the connection breaks, ask for the rest.

        :raises ImageError: the registry does not send it.
        """
        url = self.url(self.repository, "blobs", f"sha256:{hex_of(descriptor.digest)}")
        count, attempts = 0, ATTEMPTS
        while True:
            attempts, begin = attempts - 1, count
            try:
                with self._errors():
                    answer = self._get(url, {"Accept-Encoding": "identity"} | _from(count))
                    if count and answer.status_code != PARTIAL:
                        raise ImageError(f"registry {self.host}: does not send a part of {descriptor.digest}")
                with answer:
                    while True:
                        with self._errors():
                            chunk = answer.raw.read(PART, decode_content=False)
                        if not chunk:
                            return
                        if is_cancelled():
                            raise ImageError(f"{self.name}: the pull was cancelled")
                        count += len(chunk)
                        yield chunk
            except _Broken as error:
                if count - begin >= PART:
                    attempts = ATTEMPTS
                elif attempts <= 0:
                    arrived = f"; {count} of {descriptor.size} bytes have arrived" * bool(count)
                    raise ImageError(f"{error}{arrived}") from None

    def _get(self, url: str, headers: Mapping[str, str]) -> Any:
        answer = self._answer(url, "GET", headers)
        if answer.status_code in (OK, PARTIAL):
            return answer
        raise self._refusal(answer)

    def _answer(self, url: str, method: str, headers: Mapping[str, str], data: Any = None) -> Any:
        """The answer to a request. ``data`` may be sent twice."""
        answer = self._request(url, method, headers=dict(headers), data=data, stream=True)
        if answer.status_code == UNAUTHORIZED and hasattr(self._client.auth, "token"):
            self._client.auth.token = None  # it has expired, and the client asks for a new one only if it has none
            answer.close()
            answer = self._request(url, method, headers=dict(headers), data=data, stream=True)
        return answer

    def _refusal(self, answer: Any) -> ImageError:
        """The error for an answer that is none of those that were expected."""
        said = _said(answer)
        answer.close()
        where = f"registry {self.host}: {self.name}"
        if answer.status_code == NOT_FOUND:
            return NoImage(f"{where}: not found{said}")
        if answer.status_code in (UNAUTHORIZED, FORBIDDEN):
            return NoImage(f"{where}: does not exist, or needs other credentials (HTTP {answer.status_code}{said})")
        return ImageError(f"{where}: HTTP {answer.status_code}{said}{_later(answer)}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the errors of the client's libraries into one line.

        :raises _Broken: the connection failed.
        :raises ImageError: the client cannot go on.
        """
        requests, urllib3, auth = _package("requests"), _package("urllib3"), _package("oras.auth")
        self._trouble = ""
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise _Broken(
                f"registry {self.host}: {self.name}: {_line(error)}; insecure=True (pull --insecure, push --insecure) "
                "accepts a registry with an unknown certificate, or one that speaks HTTP"
            ) from error
        except requests.exceptions.JSONDecodeError:  # the client itself reads only what gives it a token
            raise ImageError(f"registry {self.host}: the server that it names for tokens sends no JSON") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _Broken(f"registry {self.host}: {self.name}: {_line(error)}") from error
        except (ValueError, getattr(auth, "AuthenticationException", ValueError)) as error:
            if self._trouble:
                raise ImageError(f"registry {self.host}: {self.name}: {self._trouble}") from None
            raise NoImage(
                f"registry {self.host}: {self.name}: does not exist, or needs credentials ({error})"
            ) from None


class _Broken(ImageError):
    """The connection to a registry failed."""


def _from(count: int) -> dict[str, str]:
    return {"Range": f"bytes={count}-"} if count else {}


def _said(answer: Any) -> str:
    """What the registry says about an error, for the end of a line."""
    try:
        errors = json.loads(answer.raw.read(CHUNK, decode_content=True))["errors"]
        return f": {errors[0]['message']}"
    except Exception:  # it may say anything, or nothing
        return ""


def _later(answer: Any) -> str:
    """When a server that refuses to answer now may be asked again, for the end of a line."""
    wait = answer.headers.get("Retry-After", "")
    return f"; it may be asked again in {wait} seconds" if wait.isdigit() else ""


def _line(error: BaseException) -> str:
    """The innermost reason of an error of requests."""
    while True:
        inner = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, BaseException)), None)
        if not isinstance(inner, BaseException):
            return " ".join(str(error).split()) or type(error).__name__
        error = inner


def _adapter() -> Any:
    """What sends requests: with a time-out, and once more if the registry is busy."""
    adapters, retry, errors = (
        _package("requests.adapters"),
        _package("urllib3.util.retry"),
        _package("urllib3.exceptions"),
    )

    class Retry(retry.Retry):  # type: ignore[misc, name-defined]
        def increment(self, method: Any = None, url: Any = None, response: Any = None, *more: Any, **rest: Any) -> Any:
            if response is not None and (self.get_retry_after(response) or 0) > WAIT_MAX:
                raise errors.MaxRetryError(None, url, None)  # the answer counts
            return super().increment(method, url, response, *more, **rest)

    class Adapter(adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
        def send(self, request: Any, **more: Any) -> Any:
            more["timeout"] = more.get("timeout") or (CONNECT_TIMEOUT, READ_TIMEOUT)
            return super().send(request, **more)

        def close(self) -> None:
            # Otherwise the connections end with the pools, and answers, which are in circles, hold those as well.
            for manager in (self.poolmanager, *self.proxy_manager.values()):
                for key in manager.pools.keys():
                    manager.pools[key].close()
            super().close()

    policy = Retry(
        total=ATTEMPTS - 1, connect=1, other=0, backoff_factor=0.2, status_forcelist=RETRIED, raise_on_status=False
    )
    return Adapter(max_retries=policy)


def _package(module: str) -> Any:
    """A module of the client.

    :raises HostError: it is not installed.
    """
    try:
        load("oras")
        logging.getLogger("oras.logger").setLevel(logging.CRITICAL)  # it prints what becomes an exception here
        return import_module(module)
    except ImportError as error:
        raise HostError("registry", f"needs the Python package oras ({error}); run: {command_for('oras')}") from None
