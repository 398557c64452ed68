"""Runs a command under ptrace(2) and kills one of its processes when one enters or leaves a system call.

    python -I -S tracer.py REPORT [WATCHED STOP VICTIM] -- COMMAND...

Processes are numbered in the order in which they are made; 0 is the command's own. Threads are not traced. Stops are numbered for each process
from 0: the beginning and the end of each of its system calls since the command was executed. When the process WATCHED
is at its stop STOP, the process VICTIM gets SIGKILL, before the stopped one continues. The tracer ends with process 0;
the other processes then continue untraced.

REPORT gets JSON: ``status`` (as in subprocess), ``fired`` (whether the stop was reached), and ``calls``, the number of
the system call at each stop, by process.

strace cannot do this: it counts for each process separately, kills only the calling process, and cannot stop at the end
of a call.
"""

import ctypes
import json
import os
import signal
import struct
import sys
import time

PTRACE_CONT, PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_SEIZE, PTRACE_LISTEN, PTRACE_GET_SYSCALL_INFO = (
    7,
    17,
    24,
    0x4206,
    0x4208,
    0x420E,
)
SYSGOOD, FORK, VFORK, CLONE, EXEC = 1, 2, 4, 8, 16
EVENT_EXEC, EVENT_STOP = 4, 128
ENTRY = 1
WALL = 0x40000000
STOPPING = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, address=0, data=0):
    """:raises OSError: ptrace has failed; ESRCH if the process has died meanwhile."""
    if libc.ptrace(ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_void_p(address), ctypes.c_void_p(data)) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


def begin(command):
    """The pid of the command, which is seized before it is executed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(writing)
            os.read(reading, 1)
            os.close(reading)
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    ptrace(PTRACE_SEIZE, pid, 0, SYSGOOD | FORK | VFORK | CLONE | EXEC)
    os.close(reading)
    os.close(writing)
    return pid


def threads(pid):
    """The threads of a process, without the first one."""
    try:
        return [int(each) for each in os.listdir(f"/proc/{pid}/task") if int(each) != pid]
    except FileNotFoundError:
        return []


class Tracer:
    """The processes of a command, and the fault."""

    def __init__(self, command, watched=None, stop=None, victim=None):
        self.watched, self.stop, self.victim = watched, stop, victim
        self.pids, self.calls, self.current = [], [], {}
        self.fired = self.executed = False
        self.buffer = ctypes.create_string_buffer(88)
        self.leader = self.number(begin(command))

    def number(self, pid):
        """The number of a process, which the tracer knows from now on."""
        if pid not in self.pids:
            self.pids.append(pid)
            self.calls.append([])
        return self.pids.index(pid)

    def run(self):
        """Trace until process 0 has ended.

        :returns: its wait status.
        """
        while True:
            pid, status = os.waitpid(-1, WALL)
            if not os.WIFSTOPPED(status):
                if pid == self.pids[0]:
                    return status
                continue
            try:
                if self.is_thread(pid):
                    ptrace(PTRACE_DETACH, pid)
                else:
                    self.stopped(self.number(pid), pid, os.WSTOPSIG(status), status >> 16)
            except ProcessLookupError:
                pass  # the process was killed after it stopped

    def is_thread(self, pid):
        """Is it a thread that one of the processes has just started?"""
        return pid not in self.pids and any([pid in threads(each) for each in self.pids])

    def stopped(self, number, pid, code, event):
        if code == signal.SIGTRAP | 0x80:
            if self.executed:
                self.at_call(number, pid)
            return ptrace(PTRACE_SYSCALL, pid)
        if event == EVENT_STOP and code in STOPPING:
            return ptrace(PTRACE_LISTEN, pid)
        self.executed |= event == EVENT_EXEC
        return ptrace(PTRACE_SYSCALL, pid, 0, 0 if event else code)

    def at_call(self, number, pid):
        ptrace(PTRACE_GET_SYSCALL_INFO, pid, len(self.buffer), ctypes.addressof(self.buffer))
        if self.buffer[0][0] == ENTRY:
            self.current[number] = struct.unpack_from("Q", self.buffer, 24)[0]
        self.calls[number].append(self.current.get(number, -1))
        if number == self.watched and len(self.calls[number]) == self.stop + 1 and self.victim < len(self.pids):
            self.fired = True
            os.kill(self.pids[self.victim], signal.SIGKILL)
            if self.victim != number:
                # Wait for the victim's end, so that the stopped process continues without it.
                self.await_end(self.pids[self.victim])

    def await_end(self, pid):
        """A process ends after its threads. The tracer must reap one that was killed before it was let go."""
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG | WALL) is None:
            for thread in threads(pid):
                try:
                    os.waitpid(thread, os.WNOHANG | WALL)
                except ChildProcessError:
                    pass  # it is not traced
            time.sleep(0.001)


def main(arguments):
    at = arguments.index("--")
    report, *fault = arguments[:at]
    tracer = Tracer(arguments[at + 1 :], *map(int, fault))
    status = os.waitstatus_to_exitcode(tracer.run())
    with open(report, "w") as file:
        json.dump({"status": status, "fired": tracer.fired, "calls": tracer.calls}, file)


main(sys.argv[1:])
