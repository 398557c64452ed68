"""An extension of Griffe, which reads docstrings for the site: roles of Sphinx (:class:`Container`) become plain names."""

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]+)`")


class PlainRoles(Extension):  # type: ignore[misc]  # only hack/docs installs griffe
    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value)
