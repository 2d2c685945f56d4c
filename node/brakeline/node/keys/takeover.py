"""Another host goes on with a site's chain, under a new key, from where the logs say that it stands.

:func:`prepare` makes the new folder: the chain as the logs hold it, a new key, and a request for the root's signature
in which the new key replaces the old one and honours the chain up to the position learnt. :func:`finish` takes the
signed statement. From then on whatever the old host signs is disowned, in every log alike, whenever and wherever it
arrives: that fences it, without anybody having to reach it. What it had signed and not brought to the logs is disowned
too, and said again by the new host.

What is lost with the old journal: meters' samples, so periods not yet booked are booked as unattributed or idle; the
rows behind old books, which can then not be opened; the instants of orders seen. All verifiers get everything again,
and answer with fresh receipts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brakeline.ledger import keyfile
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.node.journal import Adopted, Journal, Outgoing
from brakeline.node.keys import enrolment
from brakeline.node.keys.chain import Chains, Said, learn
from brakeline.node.keys.guard import LastSigned
from brakeline.node.keys.position import AWAITING
from brakeline.node.keys.store import open_store
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import Acknowledgement, Usage

if TYPE_CHECKING:
    from brakeline.ledger.source import Source
    from brakeline.node.setup import Plan
    from brakeline.treaty.document import TreatyDocument
    from brakeline.treaty.envelope import Envelope


class TakeoverError(BrakelineError):
    """The site cannot be taken over like this (codes ``takeover-*``)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a take-over found, and what the root is to sign.

    Attributes:
        request: signed by the new key; the root's signature is missing.
        last: the last statement that will stand.
        ended: the key that is replaced.
        logs: verifier -> entries read.
        refused: verifier -> why its log was not believed.
    """

    request: Envelope
    last: LastSigned
    ended: VKey
    logs: Mapping[str, int]
    refused: Mapping[str, BrakelineError]


def prepare(
    folder: Path,
    plan: Plan,
    treaty: bytes,
    pin: str,
    sources: Mapping[str, Callable[[], Source]],
    *,
    passphrase: bytes | None,
    now_ms: Callable[[], int],
    honours: LastSigned | None = None,
) -> Prepared:
    """Make the folder of the new host and the request for its key.

    Args:
        folder: new; holds no node.
        plan: as for a new node; without chips, which the chain declares. ``after`` is not used: the logs say it.
        treaty: the signed treaty.
        pin: its digest.
        sources: verifier -> opens its log, for :func:`brakeline.node.keys.chain.learn`.
        passphrase: for the new key's file.
        now_ms: the clock, Unix ms.
        honours: the last statement that stands, where the logs hold several branches or a thief's.

    Raises:
        TakeoverError: ``takeover-nothing`` (the logs hold nothing of the site), ``takeover-keys`` (not one live key).
        ChainError, SetupError: as :func:`learn` and :func:`brakeline.node.setup.furnish`.
    """
    from brakeline.node.setup import JOURNAL, KEY, furnish, load_treaty, write_config

    document = load_treaty(treaty, pin)
    chains = learn(document, plan.site, sources, now_ms)
    branch = chains.branch(plan.site, honours)
    if not branch:
        raise TakeoverError(
            code="takeover-nothing",
            message="the logs hold no statement of this site",
            expected=f"a chain of {plan.site}",
            found=f"none in {len(chains.read)} logs",
            fix="make a node with `brakeline node init`",
        )
    ended = _one_key(chains)
    root = chains.branch(chains.lab)
    furnish(folder, plan, treaty)
    with Journal(folder / JOURNAL) as journal:
        journal.adopt(_adopted(document, [*root, *branch]), plan.site)
        journal.remember(AWAITING, ended.keyid)
    signer = open_store(folder, plan.key, passphrase).make()
    keyfile.write_vkey(folder / KEY, VKey(plan.site, TYPE_STATEMENT, signer.public_key))
    period = max(document.effective_period, document.grid.first_from(InstantMs(now_ms())))
    last = branch[-1].at
    made = enrolment.request(document, plan.site, signer, period, root[-1].at, enrolment.Ending(ended, last))
    write_config(folder, plan, pin)
    return Prepared(made, last, ended, chains.read, chains.refused)


def finish(folder: Path, envelope: Envelope, passphrase: bytes | None, now_ms: Callable[[], int]) -> LastSigned:
    """Take the statement that the root has signed; return the position from which the node goes on.

    A new node declares its chips now. A crash anywhere is mended by doing it again.

    Raises:
        EnrolmentError, SiteError: it is not the answer to this node's request.
    """
    from brakeline.node.setup import declare_planned, open_guard, open_site

    settings, site = open_site(folder, passphrase, now_ms)
    try:
        store = open_store(folder, settings.key, passphrase)
        taken = enrolment.install(site, store, open_guard(folder, settings), envelope)
    finally:
        site.journal.close()
    _, site = open_site(folder, passphrase, now_ms)  # with the key that is enrolled now
    try:
        if not site.held:
            declare_planned(site, settings.serials(folder))
    finally:
        site.journal.close()
    begun = taken.honours
    return LastSigned(begun.sequence, begun.digest) if begun is not None else LastSigned(-1, "")


def _one_key(chains: Chains) -> VKey:
    keys = chains.live_keys()
    if len(keys) == 1:
        return keys[0]
    raise TakeoverError(
        code="takeover-keys",
        message="exactly one key of the site is replaced",
        expected="one key that was begun and not ended",
        found=", ".join(key.keyid[:16] for key in keys) or "none",
        fix="end the others first: brakeline node key revoke",
    )


def _adopted(document: TreatyDocument, chain: list[Said]) -> list[Adopted]:
    found: list[Adopted] = []
    for said in chain:
        predicate, at = said.statement.predicate, said.at
        authored = said.statement.authored
        author = authored.author if authored is not None else ""
        out = Outgoing(0, said.statement.digest, said.statement.name, author, at.sequence, said.envelope.to_body())
        period = document.grid.period_of(predicate.start) if isinstance(predicate, Usage) else None
        order = predicate.order if isinstance(predicate, Acknowledgement) else None
        found.append(Adopted(out, said.envelope.payload, period, order))
    return found
