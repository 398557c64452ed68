"""The file of ``--trace`` and OCIRT_TRACE: whose it may be (docs/tracing.md)."""

import os

import pytest

NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user(ocirt, bundle, tmp_path):
    """In /tmp anybody can make a file of the expected name first: its owner could read the record, or cut it."""
    file = tmp_path / "record"
    for text in (b"", b"ocirt"):
        file.write_bytes(text)
        file.chmod(0o666)
        os.chown(file, NOBODY, NOBODY)
        message = ocirt.fails("create", "--bundle", bundle, "c1", options=["--trace", file])
        assert "file exists (it is another user's, or no record: name a new file" in message
        assert file.read_bytes() == text
    os.chown(file, 0, 0)
    file.write_bytes(b"")
    ocirt.ok("create", "--bundle", bundle, "c1", options=["--trace", file])
    assert "ocirt create c1" in ocirt.ok("trace", file).out


def test_a_record_that_is_larger_than_memory(ocirt, bundle, tmp_path):
    file = tmp_path / "record"
    ocirt.ok("create", "--bundle", bundle, "c1", options=["--trace", file])
    for size in (1 << 36, 1 << 40):
        os.truncate(file, size)
        assert f"{file}: found {size} bytes, expected at most 1073741824" in ocirt.fails("trace", file)
    ocirt.ok("start", "c1", options=["--trace", tmp_path / "other"])
    assert f"found {1 << 40} bytes" in ocirt.fails("trace", "--svg", file, tmp_path / "other")
