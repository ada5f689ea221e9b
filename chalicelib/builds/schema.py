"""The manifest's JSON Schema, for builders' editors: ``python -m chalicelib.builds.schema > docs/manifest.schema.json``."""

from __future__ import annotations

import json
import sys

from chalicelib.builds.manifest import Manifest


def document() -> str:
    """The schema as text.  What one field asks of another is not in it: JSON Schema has no short words for that."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema()}
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
