"""ocirt.process_stat: what the kernel says of a process."""

import os
import subprocess

import pytest

from ocirt.process_stat import ProcessStat, start_time_of


def test_a_process_whose_name_is_like_the_rest_of_the_line():
    script = "printf '%s' 'x) Z 1 (' > /proc/$$/comm; echo; read wait; exit 3"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        found = ProcessStat(process.pid)
        assert found.state in "RS" and found.wait_status is None
        assert ProcessStat(os.getpid()).start_time <= found.start_time == start_time_of(process.pid)
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        found = ProcessStat(process.pid)
        assert (found.state, found.wait_status) == ("Z", 3 << 8)
    assert start_time_of(process.pid) == 0
    with pytest.raises(OSError):
        ProcessStat(process.pid)


def test_the_kernel_says_nothing_to_who_may_not_inspect_the_process(monkeypatch):
    """It says 0 then, which is also the status of a success."""
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    for user, status in ((0, 0), (1000, None)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert ProcessStat(child).wait_status == status
    os.waitpid(child, 0)
