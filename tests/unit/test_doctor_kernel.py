"""``ocirt doctor``: the kernel, its security modules, and the calls that it refuses."""

import os

import pytest

from ocirt.cli.doctor import kernel
from ocirt.cli.doctor.finding import FAULT, NOTE
from ocirt.compile.capabilities import BITS
from tests.unit.doctoring import host, texts
from tests.unit.plans import ALL_CAPABILITIES


def test_a_kernel_that_is_too_old():
    (said,) = [each for each in texts(kernel.examine(host(kernel=(5, 10))), FAULT) if "Linux" in each]
    assert said.endswith("is too old; ocirt needs Linux 5.14 or newer")
    assert not [each for each in texts(kernel.examine(host()), FAULT) if "Linux" in each]


def test_a_capability_that_root_lacks():
    said = texts(kernel.examine(host(permitted=ALL_CAPABILITIES & ~BITS["CAP_SYS_RESOURCE"])), NOTE)
    assert [each for each in said if each.startswith("root lacks CAP_SYS_RESOURCE, needed for raising a hard limit")]
    assert not [each for each in texts(kernel.examine(host()), NOTE) if "lacks" in each]


@pytest.mark.parametrize(
    "name, needed",
    [
        ("CAP_SYS_ADMIN", "the namespaces and mounts of every container"),
        ("CAP_NET_ADMIN", "the lo of a container's own network namespace, and network devices"),
    ],
)
def test_a_capability_without_which_no_ordinary_container_starts(name, needed):
    faults = texts(kernel.examine(host(permitted=ALL_CAPABILITIES & ~BITS[name])), FAULT)
    # The kernel refuses some calls to a user who runs this.
    (said,) = [each for each in faults if not each.startswith("the kernel")]
    assert said.startswith(f"root lacks {name}, needed for {needed}; ")


def test_security_modules_without_securityfs(monkeypatch):
    monkeypatch.setattr(kernel, "LSM", "/nowhere")
    assert "security modules: apparmor, selinux" in texts(
        kernel.examine(host(has_apparmor=True, has_selinux=True)), NOTE
    )
    assert [each for each in texts(kernel.examine(host()), NOTE) if each.startswith("no security module")]


def test_no_call_is_refused_by_this_kernel_and_another_would_be(monkeypatch):
    # The kernel refuses some calls to whoever is not root.
    caller = host(permitted=ALL_CAPABILITIES if os.geteuid() == 0 else 0)
    assert not [each for each in texts(kernel.examine(caller), FAULT) if "refuses" in each]
    monkeypatch.setitem(kernel.CALLS, "no_such_call", (4000, ()))
    (said,) = [each for each in texts(kernel.examine(caller), FAULT) if "refuses" in each]
    assert "refuses no_such_call (ENOSYS)" in said


def test_a_call_without_which_containers_run(monkeypatch):
    monkeypatch.setitem(kernel.OLD_CALLS, "keyctl", ((4000, 4000), ()))
    caller = host(permitted=ALL_CAPABILITIES if os.geteuid() == 0 else 0)
    (said,) = [each for each in texts(kernel.examine(caller), NOTE) if "keyctl" in each]
    assert said.endswith(" refuses keyctl (ENOSYS); create with --no-new-keyring")
    assert not [each for each in texts(kernel.examine(caller), FAULT) if "refuses" in each]


@pytest.mark.parametrize("permitted, words", [(0, "with --cap-add SYS_ADMIN"), (ALL_CAPABILITIES, "give the outer")])
def test_how_to_get_another_seccomp_profile(permitted, words):
    assert kernel._profile(host(permitted=permitted)).startswith(words)
