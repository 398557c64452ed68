"""Overlays of many layers and of long paths, as mounts and as the rootfs."""

import pytest

from tests.integration.test_rootfs import run


def layers_in(folder, count):
    """Directories whose names are digests, each with a file of its own; the topmost first."""
    layers = [folder / f"{number:064x}" / "diff" for number in range(count)]
    for number, layer in enumerate(layers):
        layer.mkdir(parents=True)
        (layer / f"file{number}").touch()
    return layers


@pytest.mark.parametrize("count", [3, 200])
def test_an_overlay_of_many_layers(ocirt, bundle, tmp_path, count):
    """config.md, Mounts: options are those of mount(8). fsconfig(2) takes 255 bytes of one, mount(2) a page of all, and an
    image has some layers more: each is given alone."""
    layers = layers_in(tmp_path / "overlay:layers", count)
    lower = "lowerdir=" + ":".join([str(layer).replace(":", "\\:") for layer in layers])
    assert len(lower) > 255
    bundle.config["mounts"].append(
        {"destination": "/data", "type": "overlay", "source": "overlay", "options": ["ro", lower]}
    )
    assert run(ocirt, bundle, "ls /data | wc -l") == f"{count}\n"


def test_a_rootfs_of_many_layers(ocirt, bundle, tmp_path):
    layers = [*layers_in(tmp_path / "layers", 199), tmp_path / "base"]
    bundle.rootfs.rename(tmp_path / "base")
    bundle.rootfs.mkdir()
    bundle.config["annotations"] = {"org.ocirt.rootfs.lower": ":".join(map(str, layers))}
    bundle.shell("ls -d /file* | wc -l").save()
    assert ocirt.ok("run", "--rootfs-annotations", "--bundle", bundle, "c1").out == "199\n"
    assert (
        ocirt.ok("run", *[word for layer in layers for word in ("--layer", layer)], "--bundle", bundle, "c1").out
        == "199\n"
    )


def test_long_paths_of_an_overlay(ocirt, bundle, tmp_path):
    """Directories whose paths are longer than fsconfig(2) takes, in a mount and as the rootfs."""
    long = tmp_path / ("l" * 200) / ("m" * 200)
    for name in ("lower", "upper", "work"):
        (long / name).mkdir(parents=True)
    (long / "lower/file").touch()
    options = [f"lowerdir={long / 'lower'}", f"upperdir={long / 'upper'}", f"workdir={long / 'work'}"]
    bundle.config["mounts"].append({"destination": "/data", "type": "overlay", "source": "overlay", "options": options})
    assert run(ocirt, bundle, "ls /data; touch /data/new") == "file\n"
    assert (long / "upper/new").exists()


def test_more_layers_than_overlay_takes(ocirt, bundle, tmp_path):
    """The kernel takes 500, and says so. A kernel before 6.8, which takes no layer alone, refuses the options' length."""
    lower = "lowerdir=" + ":".join(map(str, layers_in(tmp_path / "layers", 501)))
    entry = {"destination": "/data", "type": "overlay", "source": "overlay", "options": ["ro", lower]}
    bundle.config["mounts"].append(entry)
    message = ocirt.fails("create", "--bundle", bundle.save(), "c1")
    assert ("limit is 500" in message) != ("longer than the 4095 bytes" in message), message
