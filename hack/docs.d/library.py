"""The page of the site on the library's names, whose text mkdocstrings takes from the docstrings."""

from types import ModuleType

import ocirt

HEAD = """# The library, name by name
Everything that `import ocirt` offers. [The library](library.md) explains it with examples.

| name | what it is |
|---|---|
"""


def page() -> str:
    """Its Markdown: functions, classes, errors, and the same for asyncio."""
    public = {name: getattr(ocirt, name) for name in ocirt.__all__}
    errors = [name for name, each in public.items() if isinstance(each, type) and issubclass(each, Exception)]
    classes = [name for name, each in public.items() if isinstance(each, type) and name not in errors]
    functions = [name for name, each in public.items() if callable(each) and not isinstance(each, type)]
    constants = [name for name, each in public.items() if not callable(each) and not isinstance(each, ModuleType)]
    groups = {"Functions": functions, "Classes": classes, "Errors": errors, "Constants": constants}
    text = [HEAD]
    for names in groups.values():
        text += [f"| [`{name}`](#ocirt.{name}) | {summary(public[name])} |\n" for name in names]
    for title, names in groups.items():
        text.append(f"\n## {title}\n")
        if title == "Errors":
            text.append("\n[Errors](library.md#errors) says which call raises which.\n")
        text += [f"\n::: ocirt.{name}\n" for name in names]
    others = [
        name for name in public if getattr(getattr(ocirt.aio, name, None), "__module__", "").startswith("ocirt.aio")
    ]
    return "".join([*text, "\n## asyncio\n", *[f"\n::: ocirt.aio.{name}\n" for name in others]])


def summary(each: object) -> str:
    """The first sentence of its docstring; a constant has none."""
    if not callable(each):
        return "a stream"
    return " ".join((each.__doc__ or "").split()).partition(". ")[0].removesuffix(".").replace("``", "`")
