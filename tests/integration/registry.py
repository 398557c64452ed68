"""Registries on loopback: Debian's docker-registry, and one of Python's that misbehaves as a test asks."""

import base64
import http.client
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.integration.harness import LIMIT

CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
log: {{level: error}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def docker_registry(folder, more=""):
    """A registry; the value is its host and port."""
    program = shutil.which("docker-registry") or pytest.skip("needs docker-registry, which hack/test installs")
    port = free_port()
    config = folder / "registry.yml"
    config.write_text(CONFIG.format(folder=folder / "registry", port=port) + more)
    with subprocess.Popen(
        [program, "serve", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            end = time.monotonic() + LIMIT
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < end
                    time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(LIMIT)


def push(layout, host, name, reference, authorization=None):
    """Send what index.json of a layout names, and everything below, to a registry, by its interface of HTTP."""
    connection = http.client.HTTPConnection(host, timeout=LIMIT)
    extra = {"Authorization": authorization} if authorization else {}

    def call(method, path, body=None, **headers):
        connection.request(method, path, body, {**headers, **extra})
        answer = connection.getresponse()
        answer.read()
        assert answer.status < 300, (method, path, answer.status)
        return answer

    def blob(digest):
        place = call("POST", f"/v2/{name}/blobs/uploads/").headers["Location"]
        path = place.removeprefix(f"http://{host}")
        data = (layout.path / "blobs/sha256" / digest.partition(":")[2]).read_bytes()
        call("PUT", f"{path}&digest={digest}", data, **{"Content-Type": "application/octet-stream"})

    def manifest(descriptor, reference):
        data = (layout.path / "blobs/sha256" / descriptor["digest"].partition(":")[2]).read_bytes()
        document = json.loads(data)
        for each in document.get("manifests", []):
            manifest(each, each["digest"])
        for each in [document.get("config"), *document.get("layers", [])]:
            if each:
                blob(each["digest"])
        call("PUT", f"/v2/{name}/manifests/{reference}", data, **{"Content-Type": descriptor["mediaType"]})

    manifest(layout.manifests[0], reference)
    connection.close()


class Fake(ThreadingHTTPServer):
    """A registry with the images of one layout, for any repository and tag.

    :ivar breaks: how often a blob ends after ``after`` bytes.
    :ivar hangs: does a blob stop there without an end?
    :ivar ranges: does it send a part of a blob?
    :ivar busy: headers of an answer that it is busy, which it gives to all that asks for a manifest or a blob.
    :ivar busy_tokens: the same for who asks for a token.
    :ivar elsewhere: another registry's host, where it sends who asks for a blob.
    :ivar secrets: the credentials that came with what was asked for.
    :ivar connections: how many there were, those of clients that wanted TLS included.
    :ivar requests: what was asked for: method and path.
    :ivar token: the token that it wants, for a user and a password.
    """

    daemon_threads = True

    def __init__(self, layout):
        super().__init__(("127.0.0.1", 0), Handler)
        self.layout, self.breaks, self.hangs, self.after, self.ranges = layout, 0, False, 100, True
        self.busy_tokens = None
        self.busy, self.elsewhere, self.secrets, self.connections = None, None, [], 0
        self.requests, self.token, self.password, self.go_on, self.slow = [], None, None, threading.Event(), 0

    @property
    def host(self):
        return f"127.0.0.1:{self.server_address[1]}"

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        pass  # a client that has gone away


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def answer(self, status, data=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        server, host = self.server, self.server.host
        server.requests.append(self.path)
        server.secrets.append(self.headers["Authorization"])
        if self.path.startswith("/token") and server.busy_tokens is not None:
            return self.answer(429, b'{"errors": [{"message": "too many tokens"}]}', **server.busy_tokens)
        if self.path.startswith("/token"):
            wanted = "Basic " + base64.b64encode(server.password.encode()).decode()
            if self.headers["Authorization"] != wanted:
                return self.answer(401)
            return self.answer(200, json.dumps({"token": server.token}).encode())
        if server.token and self.headers["Authorization"] != f"Bearer {server.token}":
            return self.answer(401, Www_Authenticate=f'Bearer realm="http://{host}/token",service="s",scope="pull"')
        if self.path in ("/v2/", "/v2"):
            return self.answer(200)
        if server.busy is not None:
            return self.answer(429, b'{"errors": [{"message": "too many requests"}]}', **server.busy)
        kind, reference = re.fullmatch(r"/v2/.*/(manifests|blobs)/(.*)", self.path).groups()
        digest = reference if reference.startswith("sha256:") else server.layout.manifests[0]["digest"]
        path = server.layout.path / "blobs/sha256" / digest.partition(":")[2]
        if not path.exists() or reference == "missing":
            return self.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')
        data = path.read_bytes()
        if kind == "manifests":
            return self.answer(200, data, Content_Type=json.loads(data)["mediaType"])
        if server.elsewhere:
            return self.answer(307, Location=f"http://{server.elsewhere}{self.path}")
        return self.blob(data)

    def blob(self, data):
        server, begin = self.server, 0
        if self.headers["Range"] and server.ranges:
            begin = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
            self.send_response(206)
        else:
            self.send_response(200)
        rest = data[begin:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        time.sleep(server.slow)
        if server.breaks and len(rest) > server.after:
            server.breaks -= 1
            self.wfile.write(rest[: server.after])
            self.wfile.flush()
            if server.hangs:
                server.go_on.wait(LIMIT)
            self.close_connection = True
            return
        self.wfile.write(rest)


@contextmanager
def fake_registry(layout):
    """A :class:`Fake` that serves."""
    with Fake(layout) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join(LIMIT)
