"""Debian's docker-registry on the loopback of a cell."""

from tests.engines.cell import end, until

CONFIG = """\
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: "127.0.0.1:5000"}
"""


class Registry:
    """A context manager; it listens on 127.0.0.1:5000."""

    def __init__(self, cell):
        self.cell = cell

    def __enter__(self):
        self.cell.write("/run/registry.yml", CONFIG)
        self.daemon = self.cell.daemon("docker-registry", "serve", "/run/registry.yml", log="/run/registry.log")
        until(
            lambda: self.cell("busybox", "wget", "-qO-", "http://127.0.0.1:5000/v2/").status == 0,
            "the registry answers",
        )
        return self

    def __exit__(self, *_):
        end(self.daemon)
