"""The executable that a container could reach is a sealed copy, or lies on a read-only mount of its own (CVE-2019-5736)."""

import os
import subprocess

import pytest

from tests.integration.harness import LIMIT, built


def test_exe_of_init_is_a_sealed_copy(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    exe = f"/proc/{ocirt.state('c1')['pid']}/exe"
    assert os.readlink(exe).startswith("/memfd:") and not os.path.samefile(exe, built("bin"))


@pytest.mark.skipif(not os.path.exists("/proc/sys/vm/memfd_noexec"), reason="vm.memfd_noexec came with Linux 6.3")
def test_where_memfds_may_not_be_executed(ocirt, bundle):
    """vm.memfd_noexec is 2 (in a pid namespace of the test's own): the executable comes from a read-only mount."""
    bundle.config["root"]["readonly"] = False
    bundle.shell("echo ready > /tmp/ready; while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 6").save()
    # As an attacker would: keep the file open, and write to it when nobody executes it any more.
    script = ('set -e; echo 2 > /proc/sys/vm/memfd_noexec; "$@" create --bundle {0} c1 > /dev/null; pid=$("$@" state c1 | grep pid | '
              'tr -dc 0-9); readlink /proc/$pid/exe; exec 9< /proc/$pid/exe; "$@" start c1; '
              'while [ ! -e {0}/rootfs/tmp/ready ]; do sleep 0.05; done; touch {0}/rootfs/tmp/go; "$@" delete --force c1; '
              '(: >> /proc/self/fd/9) 2>&1 || true').format(bundle)
    command = ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "sh", "-c", script, "sh", *ocirt.command()]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done
    assert "memfd" not in done.stdout and "Read-only file system" in done.stdout, done
