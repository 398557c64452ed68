"""``ocirt doctor BUNDLE``: the root and the mounts of a config."""

import pytest

from ocirt.cli.doctor.finding import FAULT
from ocirt.cli.spec import default
from tests.unit.doctoring import box, texts, told

__all__ = ["box", "told"]  # fixtures of the tests here


def test_a_missing_root_is_one_finding(box):
    (said,) = texts(box(default() | {"root": {"path": "nowhere"}}), FAULT)
    assert said.startswith("root.path: ") and said.endswith(
        "/nowhere is not a directory; unpack a root file system there"
    )


@pytest.mark.parametrize("kernel, kind, expected", [((6, 11), "erofs", 1), ((6, 12), "erofs", 0), ((6, 12), "ext4", 1)])
def test_a_file_system_that_needs_a_block_device(box, told, kernel, kind, expected):
    told(files={"/proc/filesystems": "nodev\ttmpfs\n\terofs\n\text4"})
    config = default()
    config["mounts"] = [{"destination": "/m", "type": kind, "source": __file__}]
    said = [each for each in texts(box(config, kernel=kernel), FAULT) if "is not a block device" in each]
    assert len(said) == expected
