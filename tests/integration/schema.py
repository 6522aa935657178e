# SPDX-License-Identifier: Apache-2.0
"""JSON output against packaging/schema: check(object) fails where they differ."""

import json
from pathlib import Path

import jsonschema

DIRECTORY = Path(__file__).resolve().parents[2] / "packaging" / "schema"


def check(output):
    """The object itself, once it is known to be what its schema says."""
    name, version = output["schema"].removeprefix("snapcrypt.").split("/")
    assert version == "1"
    schema = json.loads((DIRECTORY / f"{name}.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    # A name, not an address: references are to be looked up in the file itself.
    assert schema.pop("$id") == output["schema"]
    jsonschema.Draft7Validator(schema).validate(output)
    return output
