"""``ocirt doctor BUNDLE``: the program of a config, and its environment."""

import os

from ocirt.cli.doctor.finding import FAULT, NOTE
from ocirt.cli.spec import default
from tests.unit.doctoring import box, texts

__all__ = ["box"]  # fixtures of the tests here


def test_a_program_that_is_not_executable(box, tmp_path):
    (tmp_path / "rootfs/bin/busybox").chmod(0o644)
    (said,) = texts(box(default()), FAULT)
    place = f"{os.path.realpath(tmp_path)}/rootfs/bin/busybox"
    assert said == f"process.args[0]: {place} is not an executable file; chmod +x {place}"


def test_a_program_that_a_mount_a_hook_or_a_layer_may_bring(box):
    """What decides is not in the rootfs, so it is a note."""
    missing = default() | {"process": default()["process"] | {"args": ["/opt/tool"]}}
    for brings in (
        {"hooks": {"createContainer": [{"path": "/bin/sh"}]}},
        {"annotations": {"org.ocirt.rootfs.lower": "/layer"}},
        {"mounts": [*default()["mounts"], {"destination": "/opt", "type": "nfs", "source": "x"}]},
    ):
        (said,) = [each for each in texts(box(missing | brings), NOTE) if "process.args[0]" in each]
        assert said.endswith("the rootfs has no /opt/tool; unless a mount brings it")
    assert [each for each in texts(box(missing), FAULT) if "process.args[0]" in each]


def test_an_environment_that_the_kernel_does_not_take(box):
    config = default()
    found = box(config, env=["PATH=/bin", "LONG=" + "x" * (128 << 10)])
    (said,) = texts(found, FAULT)
    assert said == "process.env[1]: found 131077 bytes, and the kernel takes at most 131071; shorten it"
