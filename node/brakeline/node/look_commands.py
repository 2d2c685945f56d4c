"""``brakeline node status`` and ``preview``: what was said, and what would be next. Nothing heavy is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypedDict

import typer
from brakeline.node.cli import Folder, Format, FormatOption, emit, now_ms, reported

if TYPE_CHECKING:
    from brakeline.node.journal import Journal

app = typer.Typer()


@app.command(epilog="Example: brakeline node status --dir node --format json")
def status(folder: Folder, form: FormatOption = Format.TEXT) -> None:
    """Say what is booked, what has arrived at whom, which orders are known. Reads only; the node may run."""
    from brakeline.node import config
    from brakeline.node.gap import gaps_of
    from brakeline.node.journal import Delivery, Journal
    from brakeline.node.setup import JOURNAL, treaty_of

    with reported():
        settings = config.load(folder / config.FILE)
        document = treaty_of(folder, settings, now_ms())
        with Journal(folder / JOURNAL, read_only=True) as journal:
            gaps = gaps_of(document, journal)
            progress = {v.name: journal.progress(v.name) for v in document.verifiers}
            held = journal.receipts()
            value = {
                "site": settings.site,
                "last_period": journal.last_period(),
                "statements": len(held),
                "with_receipt_quorum": sum(count >= document.quorum.receipts for count in held.values()),
                "receipt_quorum": document.quorum.receipts,
                "below_quorum": {d: n for d, n in held.items() if n < document.quorum.receipts},
                "verifiers": {n: {state.value: c for state, c in p.items()} for n, p in progress.items()},
                "sessions": [
                    {"session": s.id, "workload": s.workload, "activity": s.activity.value, "last_at": s.last_at}
                    for s in journal.open_sessions()
                ],
                "orders": [{"digest": d, "seen_at": at} for d, _, at in journal.orders()],
                "stopped": (stopped := [item for d, _, at in journal.orders() for item in _stopped(journal, d, at)]),
                "acknowledged": sorted(journal.acknowledged()),
                "method_gaps": [gap.to_json() for gap in gaps],
            }
        lines = [
            f"site          {value['site']}",
            f"booked up to  period {value['last_period']}",
            f"receipts      {value['with_receipt_quorum']} of {len(held)} statements at the quorum",
            *(
                f"  {name}: {p[Delivery.RECEIVED]} received, {p[Delivery.PENDING]} pending, {p[Delivery.OPEN]} open,"
                f" {p[Delivery.REFUSED]} refused"
                for name, p in progress.items()
            ),
            *(
                f"order {item['order'][:16]}...: {item['workload']} after step {item['step']}; ms after it was seen: "
                f"agreed {item['agreed_ms']}, ceased {item['ceased_ms']}, durable {item['durable_ms']}"
                for item in stopped
            ),
            *(gap.text() for gap in gaps),
        ]
        emit(value, lines, form)


@app.command(epilog="Example: brakeline node preview --dir node --format json")
def preview(
    folder: Folder,
    period: Annotated[int | None, typer.Option(help="Which period; default: the next to be booked.", min=0)] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Print what the books of a period would reveal, and to whom, before anything is signed. The node may run."""
    from brakeline.node import preview as previews

    with reported():
        shown = previews.preview(folder, period, now_ms)
        emit(shown.to_json(), previews.text(shown), form)


class _Stop(TypedDict):
    order: str
    workload: str
    step: int
    freeze: str | None
    agreed_ms: int | None
    ceased_ms: int
    durable_ms: int | None


def _stopped(journal: Journal, order: str, seen_at: int) -> list[_Stop]:
    """Return where each workload stopped on *order*, instants in ms after the node had verified it."""
    return [
        _Stop(
            order=order,
            workload=workload,
            step=stop.step,
            freeze=stop.freeze,
            agreed_ms=None if stop.agreed_at is None else stop.agreed_at - seen_at,
            ceased_ms=stop.at - seen_at,
            durable_ms=None if stop.durable_at is None else stop.durable_at - seen_at,
        )
        for workload, stop in journal.stops(order).values()
    ]
