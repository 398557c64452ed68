"""The JSON Schemas of spec/, and their errors in the words of :class:`~ocirt.errors.ConfigError`."""

import json
import os
from functools import cache

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from .. import __path__ as PACKAGE
from ..errors import ConfigError, OcirtError
from ..model.text import quote
from .place import join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TypeAlias

    from ..model.json import Json
    from .place import Part

    Schema: TypeAlias = dict[str, Any]

NAMES = ("config", "state", "features")
TYPES = {
    "string": "a string",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "an object",
    "array": "an array",
}
PLURALS = {"string": "strings", "integer": "whole numbers", "object": "objects", "array": "arrays"}


def folder() -> str:
    """The folder of the schemas: in the installed package, or next to it in the tree."""
    for place in (os.path.join(PACKAGE[0], "spec"), os.path.join(PACKAGE[0], os.pardir, "spec")):
        if os.path.exists(os.path.join(place, "config.schema.json")):
            return place
    raise OcirtError(f"the folder spec, with the JSON Schemas, is missing in {PACKAGE[0]}: install ocirt again")


@cache
def load(name: str) -> "Schema":
    """The schema ``name``, one of NAMES."""
    with open(os.path.join(folder(), f"{name}.schema.json"), encoding="utf-8") as file:
        loaded: Schema = json.load(file)
        return loaded


def resolve(schema: "Schema", root: "Schema") -> "tuple[Schema, Schema]":
    """``schema`` with its references replaced, and the document that references in it are relative to.

    :param root: the document that has ``schema``.
    """
    while "$ref" in schema:
        file, _, pointer = schema["$ref"].partition("#/")
        root = load(file.removesuffix(".schema.json")) if file else root
        target = root
        for part in pointer.split("/"):
            target = target[part]
        schema = target | {key: value for key, value in schema.items() if key != "$ref"}
    return schema, root


# ---- validation, null being absent ----


def _is_absent(instance: "Json", name: str) -> bool:
    return instance.get(name) is None


def _required(validator: "Any", names: list[str], instance: "Json", schema: "Schema") -> "Iterator[ValidationError]":
    if not validator.is_type(instance, "object"):
        return
    for name in names:
        if _is_absent(instance, name):
            yield ValidationError("missing", path=[name])


def _properties(
    validator: "Any", properties: "Schema", instance: "Json", schema: "Schema"
) -> "Iterator[ValidationError]":
    if not validator.is_type(instance, "object"):
        return
    for name, inner in properties.items():
        if not _is_absent(instance, name):
            yield from validator.descend(instance[name], inner, path=name, schema_path=name)


def _is_integer(_: object, instance: "Json") -> bool:
    # 1.0 is an integer for JSON Schema, but neither for Go nor for create.
    return type(instance) is int


_Validator = extend(
    Draft202012Validator,
    {"required": _required, "properties": _properties},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


@cache
def _validator(name: str) -> "Any":
    schemas = [(f"{each}.schema.json", DRAFT202012.create_resource(load(each))) for each in NAMES]
    return _Validator(load(name), registry=Registry().with_resources(schemas))


def errors(name: str, document: "Json") -> list[ConfigError]:
    """The errors that the schema ``name`` finds in ``document``: list of ConfigError, one for each place."""
    found: dict[str, ConfigError] = {}
    for error in _validator(name).iter_errors(document):
        path = join(error.absolute_path)
        # A value of the wrong type also breaks the other rules, so report only the type.
        if path not in found or error.validator == "type":
            found[path] = _translated(error, path, name)
    return list(found.values())


def _translated(error: ValidationError, path: str, name: str) -> ConfigError:
    if error.validator == "required":
        return ConfigError(path, "nothing", _expected(name, error.absolute_path))
    if error.validator == "type":
        return ConfigError(path, quote(error.instance), _expected(name, error.absolute_path))
    return ConfigError(path, quote(error.instance), _value_words(error.schema))


def _expected(name: str, parts: "Iterable[Part]") -> str:
    place = at(name, parts)
    assert place is not None  # the schema has found an error there
    return words(*place)


def _value_words(schema: "Schema") -> str:
    """What a value of the right type should be."""
    if "x-expected" in schema:
        return str(schema["x-expected"])
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    return f"a number from {schema['minimum']} to {schema['maximum']}"


def words(schema: "Schema", root: "Schema") -> str:
    """The type that ``schema`` asks for, in the words of the model (:mod:`ocirt.model.config`).

    :param schema, root: as :func:`resolve` returns them.
    """
    if schema["type"] == "array":
        return f"an array of {PLURALS[resolve(schema['items'], root)[0]['type']]}"
    return TYPES[schema["type"]]


def at(name: str, parts: "Iterable[Part]") -> "tuple[Schema, Schema] | None":
    """The schema of the place that ``parts`` lead to, and the document that holds it; ``None`` where none says
    anything of it.

    :param name: one of NAMES.
    """
    schema, root = resolve(load(name), load(name))
    for part in parts:
        inner = (
            schema.get("items")
            if isinstance(part, int)
            else schema.get("properties", {}).get(part, schema.get("additionalProperties"))
        )
        if inner is None:
            return None
        schema, root = resolve(inner, root)
    return schema, root
