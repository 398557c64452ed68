"""Kubernetes' own validation of a CRI, critest, with local images: what passes with runc in this run passes with ocirt."""

import xml.etree.ElementTree as ElementTree

from tests.engines.cell import Cell
from tests.engines.containerd import SOCKET, Containerd
from tests.engines.installed import CRI_TOOLS

IMAGES = "defaultTestContainerImage: localhost/busybox:latest\nwebServerTestImage: localhost/busybox:latest\n"
LEFT_OUT = "Image|image|Metrics|benchmark|portforward|port mapping"
"""Tests that pull images, wait minutes for a web server that only such an image has, or are of containerd alone."""
SECONDS = 200


def passed(runtime, archives):
    """Names of critest's tests that pass, and of all that were run."""
    with Cell(f"critest-{runtime}") as cell:
        Containerd(cell, archives, runtime, crictl=CRI_TOOLS / "crictl")
        cell.write("/run/images.yaml", IMAGES)
        result = cell(
            CRI_TOOLS / "critest",
            "--runtime-endpoint",
            f"unix://{SOCKET}",
            "--image-endpoint",
            f"unix://{SOCKET}",
            "--runtime-handler",
            runtime,
            "--test-images-file",
            "/run/images.yaml",
            "--ginkgo.junit-report",
            "/run/report.xml",
            "--ginkgo.skip",
            LEFT_OUT,
            "--ginkgo.no-color",
            "--ginkgo.timeout",
            f"{SECONDS}s",
            limit=SECONDS + 20,
        )
        assert cell.path("/run/report.xml").exists(), result
        cases = list(ElementTree.parse(cell.path("/run/report.xml")).iter("testcase"))
    run = {case.get("name"): case for case in cases if case.find("skipped") is None}
    return {name for name, case in run.items() if case.find("failure") is None and case.find("error") is None}, set(run)


def test_what_runc_passes(archives):
    runc, run = passed("runc", archives)
    ocirt, _ = passed("ocirt", archives)
    print(f"critest: {len(run)} tests, {len(runc)} pass with runc, {len(ocirt)} with ocirt")
    assert len(runc) >= 55 and runc - ocirt == set()
