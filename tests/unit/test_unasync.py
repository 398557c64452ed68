"""hack/unasync: ocirt/container.py is made from ocirt/aio/container.py, and nothing else is written in it."""

import importlib.util
import inspect
from pathlib import Path

import pytest

import ocirt
from ocirt import aio
from ocirt.library import blocking, eventloop

ROOT = Path(__file__).parents[2]
SOURCE = (ROOT / "ocirt/aio/container.py").read_text()


@pytest.fixture(scope="module")
def unasync():
    spec = importlib.util.spec_from_file_location("unasync", ROOT / "hack/unasync.d/unasync.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_making_them_again_changes_nothing(unasync):
    """And each module of ocirt/aio/ has its counterpart."""
    sources = {path.stem for path in (ROOT / "ocirt/aio").glob("*.py")} - {"__init__"}
    assert sources == set(unasync.DOCSTRINGS) == set(unasync.ONCE)
    for name in sources:
        assert unasync.made(name) == (ROOT / f"ocirt/{name}.py").read_text(), "run hack/format"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("__all__ = [", "__all__ = [  # more\n", "found 0 times, expected 1: __all__"),
        ("    def pid(self)", "    @coming\n    def pid(self)", "found 3 times, expected 2: @coming"),
        ("self.kill()\n", "self.kill()\n        asyncio.sleep(0)\n", "removes asyncio from this line: asyncio.sleep"),
    ],
)
def test_what_no_rule_covers_is_an_error(unasync, old, new, told):
    assert old in SOURCE
    with pytest.raises(unasync.LeftError, match=told):
        unasync.unasync(SOURCE.replace(old, new, 1), "container")


def public(kind):
    """Name -> signature (``None`` of a property) and documentation of what a class gives its users."""
    return {
        name: (
            None
            if isinstance(inspect.getattr_static(kind, name), property)
            else inspect.signature(getattr(kind, name)),
            inspect.getdoc(getattr(kind, name)),
        )
        for name in dir(kind)
        if not name.startswith("_") and name not in ("args", "id", "runtime")
    }


@pytest.mark.parametrize(("name", "only_blocking"), [("Container", set()), ("Process", {"poll", "communicate"})])
def test_both_have_the_same_members(name, only_blocking):
    """Each with its parameters, and with a docstring of its own that an editor shows. Pipes are files, or asyncio's streams."""
    of_blocking, of_asyncio = public(getattr(ocirt, name)), public(getattr(aio, name))
    assert set(of_blocking) - set(of_asyncio) == only_blocking and set(of_asyncio) <= set(of_blocking)
    for member, (signature, documentation) in of_asyncio.items():
        same = of_blocking[member][0]
        assert (signature and signature.parameters) == (same and same.parameters), member
        assert documentation and of_blocking[member][1] and "Parameters are those" not in documentation, member


def test_both_ways_of_waiting_have_the_same_names():
    assert {"HasPipes", "Pipes", "drive"} <= {*vars(blocking)} & {*vars(eventloop)}
