"""The table of shapes in docs/performance.md: how it counts."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
from bench import shapes

from tests.unit.plans import DATA

RECORDED = json.loads((DATA / "podman-042a.json").read_text())


def count(**configs):
    kept, refused = shapes.count(
        [(name.replace("_", "-"), json.dumps(config).encode()) for name, config in configs.items()]
    )
    assert refused == []
    return kept


def changed(change):
    config = deepcopy(RECORDED)
    change(config)
    return config


def test_values_make_no_program():
    def other(config):
        config.update(hostname="x", annotations={"a": "b"})
        config["process"].update(args=["a"] * 9, env=[])
        config["linux"]["cgroupsPath"] += "x"

    (kept,) = count(podman_1a=RECORDED, podman_1b=changed(other))
    assert kept.files == ["podman-1a", "podman-1b"] and kept.reason == "the first"


def test_what_is_read_does():
    first, second = count(
        podman_1a=RECORDED, podman_2a=changed(lambda config: config["mounts"][0].update(options=["nosuid"]))
    )
    assert (
        second.reason
        == "beside podman-1a: mounts[0].options[1]: found nothing, the program is for a config with a string there"
    )
    assert first.request != second.request
    page = shapes.table([first, second], [("podman-9a", "no such thing")])
    assert (
        page.startswith("2 configs are 2 different requests and need 2 programs.")
        and "they would be 2 requests." in page
    )
    assert (
        "| podman | 2 | 2 | 2 | 2 |" in page
        and "| podman-1a | - | the first |" in page
        and "Refused: podman-9a: no such thing." in page
    )


def test_mounts_in_another_order_are_another_request():
    """config.md, Mounts: "The runtime MUST mount entries in the listed order"."""

    def turn(config):
        shm = next(mount for mount in config["mounts"] if mount["destination"] == "/dev/shm")
        config["mounts"].remove(shm)
        config["mounts"].append(shm)

    first, second = count(podman_1a=RECORDED, podman_2a=changed(turn))
    assert first.request != second.request and first.unordered == second.unordered
    assert "the request of podman-1a, its mounts in another order" in shapes.table([first, second], [])


def test_values_are_no_part_of_a_request():
    def longer(config):
        config.update(hostname="x" * 50)
        config["mounts"].reverse()

    assert len({each.unordered for each in count(podman_1a=RECORDED, podman_2a=changed(longer))}) == 1


def test_a_config_that_is_refused():
    kept, refused = shapes.count([("podman-1a", b'{"ociVersion": "2.0.0"}')])
    assert kept == [] and refused[0][0] == "podman-1a" and "ociVersion" in refused[0][1]


@pytest.mark.skipif(not shapes.RECORDED.exists(), reason="the recorded configs are not on this machine")
def test_two_runs_of_one_command_share_a_program():
    """Of engines' recorded configs, and the page is what counting gives."""
    kept, refused = shapes.count(
        [(path.stem, path.read_bytes()) for path in sorted(Path(shapes.RECORDED).glob("*.json"))]
    )
    of = {name: each for each in kept for name in each.files}
    pairs = [name for name in of if name.endswith("b")]
    assert refused == [] and len(pairs) > 20
    assert [name for name in pairs if of[name] is not of[name[:-1] + "a"]] == []
    assert len(kept) <= len({each.request for each in kept})
    assert shapes.table(kept, refused) in shapes.DOCS.read_text(), "write it anew: hack/bench --shapes"
