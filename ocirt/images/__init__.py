"""Images: the content store, layers, and containers' configs made from an image's (docs/images.md).

Nothing of this folder is imported when a container is created without an image.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import aio as aio
    from . import prune as prune
    from . import pull as pull
    from . import store as store

_PUBLIC = ("aio", "prune", "pull", "store")


if not TYPE_CHECKING:  # so that type checkers report unknown names

    def __getattr__(name):
        if name in _PUBLIC:
            from importlib import import_module

            return import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
