"""`ocirt validate` and `ocirt features` as commands, and the state that `ocirt state` prints against the schema."""

import json

import pytest

from ocirt.validate import schema
from tests.integration.harness import Runtime, built


def test_valid(ocirt, bundle):
    result = ocirt.ok("validate", bundle)
    assert (result.out, result.err) == ("", "")
    assert ocirt.ok("validate", cwd=bundle.path).out == ""


def test_a_file_is_its_bundles_config(ocirt, bundle):
    """`ocirt validate some/config.json` is what comes to mind first; plan and cache explain take it too."""
    bundle.config["hostname"] = 5
    (bundle.path / "other.json").write_text(json.dumps(bundle.config))
    assert ocirt.ok("validate", bundle.path / "config.json").out == ""
    assert "hostname: found 5" in ocirt("validate", bundle.path / "other.json").out
    assert str(bundle.rootfs) in ocirt.ok("plan", bundle.path / "config.json").out
    assert ocirt.ok("cache", "explain", bundle.path / "config.json").out == ocirt.ok("cache", "explain", bundle).out


def test_all_errors_in_creates_words(ocirt, bundle):
    bundle.config["process"]["cwd"] = "relative"
    bundle.config["hostname"] = 5
    bundle.config["linux"]["maskedPaths"] += ["one", "two"]
    bundle.save()
    result = ocirt("validate", bundle)
    count = len(bundle.config["linux"]["maskedPaths"])
    assert (result.status, result.err) == (1, "")
    assert result.out.splitlines() == [
        'config.json: process.cwd: found "relative", expected an absolute path',
        "config.json: hostname: found 5, expected a string",
        f'config.json: linux.maskedPaths[{count - 2}]: found "one", expected an absolute path',
        f'config.json: linux.maskedPaths[{count - 1}]: found "two", expected an absolute path',
    ]
    message = json.loads(ocirt.fails("create", "--bundle", bundle, "c1"))
    assert message in result.out.splitlines()
    rows = json.loads(ocirt("validate", "--format", "json", bundle).out)
    assert [
        f"config.json: {row['path']}: found {row['found']}, expected {row['expected']}" for row in rows
    ] == result.out.splitlines()


def test_what_cannot_be_read(ocirt, bundle):
    assert "no such file or directory" in ocirt.fails("validate", "--config", "/nowhere", bundle)
    (bundle.path / "config.json").write_text("{")
    result = ocirt("validate", bundle)
    assert (result.status, result.err) == (1, "") and result.out.startswith("config.json: line 1 column ")


def test_features(ocirt):
    claims = json.loads(ocirt.ok("features").out)
    assert schema.errors("features", claims) == []
    assert claims["annotations"]["org.ocirt.commit"] == ocirt.ok("--version").out.splitlines()[1].removeprefix(
        "commit: "
    )
    assert Runtime(built("bin"), ocirt.root)("features", env={}).status == 0


@pytest.mark.parametrize("verb", ["create", "start", "kill"])
def test_the_state_is_valid(ocirt, bundle, verb):
    """runtime.md, State: the JSON adheres to the schema."""
    bundle.config["annotations"] = {"a": "b"}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    status = {"create": "created", "start": "running", "kill": "stopped"}[verb]
    if verb != "create":
        ocirt.ok(verb, "c1", *(["KILL"] if verb == "kill" else []))
    ocirt.wait_status("c1", status)
    assert schema.errors("state", ocirt.state("c1")) == []
