"""The tables an audit writes, and their columns (docs/spec/tables.md). Columns are only added, never changed."""

from __future__ import annotations

from collections.abc import Mapping

_PLACE = {"source": "text", "log": "text", "index": "integer", "received_at_ms": "integer"}
_LINE = {"statement": "text", "line": "integer"}

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "logs": {
        "source": "text", "log": "text", "state": "text", "size": "integer", "root": "text", "cosignatures": "integer",
        "quorum": "integer", "newest_ms": "integer", "stale_ms": "integer", "divergence": "text",
        "divergence_at": "integer",
    },
    "unchecked": {
        "place": "integer", "code": "text", "message": "text", "expected": "text", "found": "text", "fix": "text",
        "index": "integer",
    },
    "findings": {
        "finding": "text", "stands": "yes or no", "rule": "text", "severity": "text", "article": "text",
        "about": "text", "period": "integer", "statements": "texts", "sentence": "text", "misconduct": "yes or no",
        "docket": "text", "opened_ms": "integer", "reply_due_ms": "integer", "replies": "texts",
        "determination": "text", "conclusion": "text",
    },
    "figures": {"finding": "text", "name": "text", "value": "text"},
    "statements": {
        **_PLACE, "statement": "text", "predicate": "text", "author": "text", "sequence": "integer",
        "signed_by": "texts", "came_from": "text", "came_from_index": "integer", "bytes": "integer",
    },
    "heartbeats": {**_PLACE, "mirrored": "texts"},
    "challenges": {
        **_PLACE, "challenge": "text", "site": "text", "period": "integer", "usage": "text", "rows": "integer",
        "drawn": "integer",
    },
    "books": {
        **_LINE, "site": "text", "period": "integer", "corrected": "yes or no", "workload": "text", "activity": "text",
        "flop_hardware": "quantity", "flop_model": "quantity", "tokens": "quantity", "joules": "quantity",
        "parents": "texts", "model_out": "text", "code": "text", "data": "text",
    },
    "chip_time": {**_LINE, "class": "text", "chip_ms": "quantity"},
    "energy": {
        "statement": "text", "by": "text", "site": "text", "start_ms": "integer", "end_ms": "integer",
        "joules": "quantity",
    },
    "orders": {
        "order": "text", "kind": "text", "who": "texts", "activities": "texts", "above": "text",
        "effective_period": "integer", "until_period": "integer", "exercise": "yes or no", "reason": "text",
        "first_ms": "integer", "held_ms": "integer", "due_ms": "integer", "binding_period": "integer",
    },
    "order_sites": {
        "order": "text", "site": "text", "quorum_ms": "integer", "seen_at": "integer", "stopped_at": "integer",
        "heard_ms": "integer", "seen_after_ms": "integer", "agreed_after_ms": "integer", "ceased_after_ms": "integer",
        "durable_after_ms": "integer", "books": "text", "kept_until": "integer", "leaked_at_least": "quantity",
        "leaked_at_most": "quantity", "bound": "quantity",
    },
    "acknowledgements": {
        "statement": "text", "order": "text", "site": "text", "seen_at": "integer", "stopped_at": "integer",
        "workload": "text", "step": "integer", "freeze": "text", "resumed": "text", "agreed_at": "integer",
        "ceased_at": "integer", "durable_at": "integer",
    },
    "receipts": {
        "file": "text", "log": "text", "entry": "integer", "size": "integer", "statement": "text", "outcome": "text",
    },
}  # fmt: skip
"""Table -> column -> what it holds: text (UTF-8), integer (64 bits), quantity (a decimal string), yes or no, texts."""
