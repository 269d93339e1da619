"""The configuration as a JSON Schema, for editors that complete and check YAML.

What one key says of itself is in it; what holds between keys, only `validate` knows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from curriculum.config.check import Known, fields_of
from curriculum.config.loading import TASK, TOP
from curriculum.config.schema import MODULE, NAME

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES: Mapping[Any, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
_NAMES = f"^(?:{NAME.pattern})$"


def json_schema() -> dict[str, Any]:
    """Returns the schema of a configuration file, as JSON-compatible data."""
    tasks = {
        "description": "what is played; a name of your own makes a task of your own",
        "propertyNames": {"pattern": _NAMES},
        "additionalProperties": _section(TASK),
        **_OR_NOTHING,
    }
    whole = _section(TOP)
    whole["properties"]["tasks"] = tasks
    return {"$schema": DIALECT, "title": "World Models Curriculum", **whole}


_OR_NOTHING = {"type": ["object", "null"]}
"""A section that is empty, which is read as one without keys."""


def _section(known: Known) -> dict[str, Any]:
    properties = {name: _entry(field, kind) for name, (field, kind) in known.items()}
    return {**_OR_NOTHING, "properties": properties, "additionalProperties": False}


def _entry(field: dataclasses.Field[Any], kind: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        told = (kind.__doc__ or "").strip().partition("\n")[0]
        return {"description": told, **_section(fields_of(kind))}
    entry = {"description": field.metadata.get("help", ""), **_value(kind, field.metadata)}
    if field.default is not dataclasses.MISSING:
        default = field.default
        entry["default"] = list(default) if isinstance(default, tuple) else default
    return entry


def _value(kind: Any, meta: Mapping[str, Any]) -> dict[str, Any]:
    origin = get_origin(kind)
    if origin is tuple:
        return _array(get_args(kind)[0], meta)
    if origin is dict:
        return {"type": "object"}
    return {"type": _TYPES[kind], **_range(kind, meta)}


def _array(item: Any, meta: Mapping[str, Any]) -> dict[str, Any]:
    if get_origin(item) is tuple:
        return {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
    limits = {"minItems": meta.get("min_items") or None, "maxItems": meta.get("max_items")}
    limits["uniqueItems"] = meta.get("unique") or None
    # How many characters an item has is not told by `min_items`, which counts the items.
    of_item = {**meta, "min_items": 0}
    items = {"type": _TYPES[item], **_range(item, of_item)}
    return {"type": "array", "items": items, **_given(limits)}


def _range(kind: Any, meta: Mapping[str, Any]) -> dict[str, Any]:
    low = "exclusiveMinimum" if meta.get("open_low") else "minimum"
    found = {low: meta.get("low"), "maximum": meta.get("high")}
    choices = meta.get("choices")
    found["enum"] = list(choices) if choices is not None else None
    if kind is str:
        found["minLength"] = meta.get("min_items") or None
        patterns = {"name": _NAMES, "module": f"^(?:{MODULE.pattern})$"}
        found["pattern"] = next((p for k, p in patterns.items() if meta.get(k)), None)
    return _given(found)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
