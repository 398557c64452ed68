"""``criu swrk N`` for machines on which criu does not work, as far as a runtime can see: it saves nothing, and restores
a ``sleep``.

It has a folder (the first argument): ``behaviour.json`` says what it must do, and it writes its last request to
``request.json``.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

from ocirt.criu.message import (
    DUMP,
    FEATURE_CHECK,
    NOTIFY,
    OPTIONS,
    PRE_DUMP,
    REQUEST,
    RESPONSE,
    RESTORE,
    decode,
    encode,
)
from tests.processor import syscall_number

CLONE_PARENT = 0x8000
LOG = (
    "(00.01) pie: hello\n(00.02) Error (criu/fake.c:1): no such luck\n(00.03) Error (criu/fake.c:2): Dumping FAILED.\n"
)


def main(folder, number):
    behaviour = json.loads((folder / "behaviour.json").read_text())
    sock = socket.socket(fileno=number)
    request = decode(REQUEST, sock.recv(65536))

    def answer(**members):
        sock.send(encode({**RESPONSE, "notify": RESPONSE["notify"]}, members))

    def notify(script, pid=None, fd=None):
        data = encode(RESPONSE, {"type": NOTIFY, "success": True, "notify": {"script": script, "pid": pid}})
        socket.send_fds(sock, [data], [] if fd is None else [fd])
        assert decode(REQUEST, sock.recv(65536)) == {"type": NOTIFY, "notify_success": True}

    if request["type"] == FEATURE_CHECK:
        return answer(type=FEATURE_CHECK, success=True, features=behaviour.get("features", {}))
    options = request["opts"]
    (folder / "request.json").write_text(json.dumps({"type": request["type"], **options}))
    log = options.get("work_dir_fd", options["images_dir_fd"])
    # As criu does: through the process that has made the socket.
    peer = int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")
    Path(f"/proc/{peer}/fd/{log}", options["log_file"]).write_text(LOG)
    time.sleep(behaviour.get("waits", 0))
    if "dies" in behaviour:
        os._exit(behaviour["dies"])
    if "refuses" in behaviour:
        return answer(type=request["type"], success=False, cr_errmsg=behaviour["refuses"])
    if request["type"] == RESTORE:
        pid = start(behaviour.get("seconds", 60))
        notify("setup-namespaces", pid)
        notify("post-restore", pid)
        for script in behaviour.get("scripts", []):
            notify(script, fd=os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY) if script == "orphan-pts-master" else None)
        os.kill(pid, signal.SIGCONT)
        return answer(type=RESTORE, success=True)
    assert request["type"] in (DUMP, PRE_DUMP) and OPTIONS["pid"] == 2
    notify("post-dump")
    if request["type"] == DUMP and not options["leave_running"]:
        os.kill(options["pid"], signal.SIGKILL)
    answer(type=request["type"], success=True)


def start(seconds):
    """Start a process as a sibling, as criu does with restored ones. The process continues only once everything is
    restored.
    """
    pid = ctypes.CDLL(None).syscall(syscall_number("clone"), CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        os.execv("/bin/sh", ["sh", "-c", f"sleep {seconds}; exit 7"])
    return pid


if __name__ == "__main__":
    assert sys.argv[2] == "swrk"
    main(Path(sys.argv[1]), int(sys.argv[3]))
