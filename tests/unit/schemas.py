"""What the tests of schemas share: the official ones of runtime-spec 1.3.0, from its Go module, and walking schemas."""

import json
import subprocess
from functools import cache
from pathlib import Path

from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from ocirt.validate import schema

ROOT = Path(__file__).parents[2]
MODULE = "github.com/opencontainers/runtime-spec@v1.3.0"


@cache
def official():
    """The folder of the official schemas; hack/lib.sh downloads the module where it is missing."""
    done = subprocess.run(
        ["bash", "-c", f"source {ROOT}/hack/lib.sh; need_go_module {MODULE}"],
        check=True,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=600,
    )
    return Path(done.stdout.strip()) / "schema"


@cache
def official_validator(name):
    """The official schema ``name``: config, state or features."""
    registry = Registry().with_resources(
        [
            (path.name, Resource.from_contents(json.loads(path.read_text()), default_specification=DRAFT4))
            for path in official().glob("*.json")
        ]
    )
    return Draft4Validator(json.loads((official() / f"{name}-schema.json").read_text()), registry=registry)


def properties(name):
    """Path -> schema of every property in our schema ``name``, in its order: ``process.user``, ``mounts[].options``,
    ``linux.sysctl.*`` for the values of a map."""
    found = {}

    def walk(value, root, path):
        value, root = schema.resolve(value, root)
        for key, inner in value.get("properties", {}).items():
            found[f"{path}.{key}".lstrip(".")] = schema.resolve(inner, root)[0]
            walk(inner, root, f"{path}.{key}".lstrip("."))
        if "items" in value:
            walk(value["items"], root, f"{path}[]")
        if "additionalProperties" in value:
            walk(value["additionalProperties"], root, f"{path}.*")

    walk(schema.load(name), schema.load(name), "")
    return found
