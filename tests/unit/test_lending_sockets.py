"""The sockets that the library makes in a runtime's directory: those of processes that were killed are removed, and no other."""

import os
import socket

from ocirt.library import lending


def bound(folder, name):
    made = socket.socket(socket.AF_UNIX)
    made.bind(lending._address(folder, name))
    return made


def test_only_sockets_without_a_holder_are_removed(tmp_path):
    """A socket need not listen yet. Names of containers, and files of other kinds, are nobody's business here."""
    folder = os.open(tmp_path, os.O_RDONLY)
    bound(folder, ",dead").close()
    (tmp_path / "c1").mkdir()
    with bound(folder, ",bound"), bound(folder, ",listening") as listening:
        listening.listen(1)
        lending._sweep(str(tmp_path), folder)
        assert sorted(os.listdir(tmp_path)) == [",bound", ",listening", "c1"]
        listening.settimeout(0.1)
        try:
            listening.accept()
            raise AssertionError("the look at a socket has made a connection")
        except TimeoutError:
            pass
    os.close(folder)
