"""A TOML writer for tests: enough for treaty documents, and nothing that the product needs."""

from __future__ import annotations

import json

from brakeline.treaty.strictjson import JsonObject, JsonValue


def to_toml(value: JsonObject) -> str:
    """Return *value* as TOML: plain members first, then tables, then lists of tables."""
    lines = [f"{key} = {_inline(item)}" for key, item in value.items() if not _is_table(item) and not _is_tables(item)]
    for key, item in value.items():
        if isinstance(item, dict):
            lines += ["", f"[{key}]", *(f"{name} = {_inline(inner)}" for name, inner in item.items())]
        elif isinstance(item, list) and _is_tables(item):
            for row in item:
                assert isinstance(row, dict)
                lines += ["", f"[[{key}]]", *(f"{name} = {_inline(inner)}" for name, inner in row.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: JsonValue) -> bool:
    return isinstance(value, dict)


def _is_tables(value: JsonValue) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _inline(value: JsonValue) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
