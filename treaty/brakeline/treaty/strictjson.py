"""The one strict, bounded JSON reader, and its canonical writer.

What it is: restricted RFC 8785 (JSON Canonicalization Scheme). Restricted means no floats, no nulls, integers within
+-(2**53 - 1), ASCII object keys. Under these restrictions RFC 8785 is exactly: keys sorted by code point, no white
space, minimal string escapes, and that is what ``orjson`` with sorted keys writes; so reading is *bound, parse,
re-encode, compare*, and bytes that are not canonical never become a value.

What it is not: a reader of anybody's JSON. Configuration and DSSE envelopes (which are not canonical by their
standard) are read with :func:`parse_any`, which keeps the bounds and the refusal of duplicate keys.

Traps this closes (each a test): the last duplicate key winning, ``NaN`` and ``1e400``, ``1.0`` for ``1``, lone
surrogates, ``1_000`` and non-ASCII digits, nesting bombs, huge integers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TypeAlias, cast

import orjson
from brakeline.treaty.errors import JsonError

JsonValue: TypeAlias = "str | int | bool | list[JsonValue] | dict[str, JsonValue]"
JsonObject: TypeAlias = "dict[str, JsonValue]"

MAX_SAFE_INTEGER = 2**53 - 1
"""Largest integer magnitude that every JSON implementation keeps exactly (RFC 8785, I-JSON)."""

MAX_DEPTH = 16
"""Objects and lists may nest this deep; no format of the protocol needs more than 8."""

_PARSER_DEPTH = 1000
"""Nesting that orjson reads without complaint (its own limit is 1024)."""

MAX_PAYLOAD = 60 * 1024
"""Bytes of a statement's payload (docs/spec/statements.md)."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*\\?(?:"|\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def parse(data: bytes, *, max_bytes: int = MAX_PAYLOAD, max_depth: int = MAX_DEPTH) -> JsonValue:
    """Return the value of restricted canonical JSON.

    Raises:
        JsonError: ``json-too-large``, ``json-too-deep``, ``json-malformed``, ``json-not-canonical``, ``json-float``,
            ``json-null``, ``json-integer-range``, ``json-key``.
    """
    _bound(data, max_bytes, _PARSER_DEPTH)  # this much orjson takes; the protocol's own bound is checked on the value
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise JsonError(
            code="json-malformed", message="these bytes are not JSON", expected="UTF-8 JSON", found=str(error)[:120]
        ) from None
    # canonical text writes characters raw, so that ASCII bytes hold ASCII keys only (escaped ones fail the comparison)
    checked = _restrict(value, max_depth, plain=data.isascii())
    again = _encode(checked)
    if again != data:
        at = _first_difference(again, data)
        raise JsonError(
            code="json-not-canonical",
            message="the JSON is not in canonical form (RFC 8785: sorted unique keys, no white space, minimal escapes)",
            expected=_excerpt(again, at),
            found=_excerpt(data, at),
            fix="sign and send the canonical bytes",
        )
    return checked


def parse_object(data: bytes, *, max_bytes: int = MAX_PAYLOAD, max_depth: int = MAX_DEPTH) -> JsonObject:
    """Like :func:`parse`, and the value is an object (``json-not-object`` otherwise)."""
    value = parse(data, max_bytes=max_bytes, max_depth=max_depth)
    if not isinstance(value, dict):
        raise JsonError(
            code="json-not-object", message="expected a JSON object", expected="{...}", found=type(value).__name__
        )
    return value


def parse_any(data: bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> JsonValue:
    """Read JSON that need not be canonical (a DSSE envelope): same bounds, same restrictions, no duplicate keys."""
    _bound(data, max_bytes, max_depth)  # before Python's parser recurses
    try:
        value: object = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise JsonError(
            code="json-malformed", message="these bytes are not JSON", expected="UTF-8 JSON", found=str(error)[:120]
        ) from None
    except ValueError as error:  # an integer with more digits than Python converts
        raise JsonError(
            code="json-integer-range",
            message="an integer is out of range",
            expected="+-(2^53-1)",
            found=str(error)[:80],
        ) from None
    return _restrict(value, max_depth)


def canonical(value: JsonValue) -> bytes:
    """Return the canonical bytes of a value that obeys the restrictions (RFC 8785).

    Raises:
        JsonError: as :func:`parse`, when the value does not obey them.
    """
    return _encode(_restrict(value, MAX_DEPTH))


def _encode(value: JsonValue) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise JsonError(code="json-malformed", message="not encodable as JSON", found=str(error)[:120]) from None


def _bound(data: bytes, max_bytes: int, max_depth: int) -> None:
    if len(data) > max_bytes:
        raise JsonError(
            code="json-too-large",
            message="the JSON text is too large",
            expected=f"at most {max_bytes} bytes",
            found=f"{len(data)} bytes",
            fix="commit to detail by digest instead of carrying it",
        )
    # An upper bound on depth before any parser recurses: brackets inside strings only make it stricter, so only
    # count exactly when the cheap bound trips.
    if data.count(b"[") + data.count(b"{") > max_depth and _depth(data) > max_depth:
        raise _too_deep(max_depth)


def _depth(data: bytes) -> int:
    """Return how deep brackets outside strings nest; text that is not JSON may be called deeper, never flatter."""
    depth = deepest = 0
    for byte in _STRING.sub(b"", data).translate(None, _NOT_BRACKETS):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _restrict(value: object, max_depth: int, *, plain: bool = False) -> JsonValue:
    """Refuse floats, nulls, big integers, non-ASCII keys and deep nesting anywhere in *value*.

    Level by level instead of by recursion: every statement of every log passes here. With *plain* the caller knows that
    every key is ASCII.
    """
    level: list[object] = [[value]]
    for _ in range(max_depth + 1):
        inner: list[object] = []
        for container in level:
            if type(container) is dict:
                keyed = cast("dict[object, object]", container)
                if not plain:
                    _check_keys(keyed)
                items: Iterable[object] = keyed.values()
            else:
                items = cast("list[object]", container)
            for item in items:
                kind = type(item)
                if kind is str:
                    continue
                if kind is dict or kind is list:
                    inner.append(item)
                elif kind is int:
                    _check_integer(cast("int", item))
                elif kind is not bool:
                    raise _forbidden(item)
        if not inner:
            return cast("JsonValue", value)
        level = inner
    raise _too_deep(max_depth)


def _check_keys(value: dict[object, object]) -> None:
    try:
        plain = "".join(cast("dict[str, object]", value)).isascii()
    except TypeError:
        plain = False
    if not plain:
        odd = next(key for key in value if not isinstance(key, str) or not key.isascii())
        raise JsonError(code="json-key", message="an object key is not ASCII", expected="ASCII", found=repr(odd)[:60])


def _forbidden(item: object) -> JsonError:
    kind = type(item)
    return JsonError(
        code="json-null" if item is None else "json-float" if kind is float else "json-malformed",
        message="this JSON holds a value the protocol does not allow",
        expected="strings, integers, booleans, lists, objects",
        found=kind.__name__,
        fix="leave unknown members out; write quantities as decimal strings",
    )


def _too_deep(max_depth: int) -> JsonError:
    return JsonError(
        code="json-too-deep",
        message="the JSON text nests too deeply",
        expected=f"at most {max_depth} levels",
        found=f"more than {max_depth}",
    )


def _check_integer(number: int) -> None:
    if not -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER:
        raise JsonError(
            code="json-integer-range",
            message="an integer is out of range",
            expected="+-(2^53-1)",
            found=f"{number.bit_length()} bits",
            fix="write FLOP, joules, tokens and chip-milliseconds as decimal strings",
        )


def _unique(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise JsonError(
                code="json-not-canonical", message="an object names a key twice", expected="unique keys", found=key[:60]
            )
        result[key] = value
    return result


def _refuse_constant(text: str) -> object:
    raise JsonError(code="json-float", message="not a number of this protocol", expected="an integer", found=text)


def _first_difference(a: bytes, b: bytes) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _excerpt(data: bytes, at: int) -> str:
    return f"...{data[max(0, at - 12) : at + 20].decode('utf-8', 'replace')}... at byte {at}"
