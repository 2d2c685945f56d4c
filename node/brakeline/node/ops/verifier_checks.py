"""Checks that ask the verifiers: who answers, under which version of the treaty, and what their logs say of the time.

No clock is asked that nobody signed. A verifier's newest checkpoint carries cosignatures with the witnesses' times
(C2SP tlog-cosignature), each verified here. The time counts that f + 1 of the answering logs have reached, so that no
liar sets it. If it is later than our clock by more than the treaty's skew, our clock is behind. If it is older than the
longest checkpoint interval plus the skew, our clock is ahead, or the logs stand still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import grpc
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.errors import BrakelineError
from brakeline.node import wire
from brakeline.node.config import NodeConfig
from brakeline.node.ops.checks import Check, State
from brakeline.node.tls import TlsFiles, open_channel
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.terms import VerifierTerms
from brakeline.v1 import verifier_pb2_grpc as rpc

ASK_S = 8.0
"""Deadline of one question to a verifier."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a verifier said: the treaty it runs under, and the newest time in its cosignatures (Unix ms), if any."""

    treaty: str
    newest_ms: int | None


async def ask_all(
    document: TreatyDocument, settings: NodeConfig, tls: TlsFiles, now_ms: Callable[[], int]
) -> list[Check]:
    """Ask all at once."""
    answers = await asyncio.gather(*(_ask(document, v, settings, tls) for v in document.verifiers))
    heard = [answer for _, answer in answers if answer is not None]
    checks = [check for check, _ in answers]
    checks.append(_reach(len(heard), document))
    checks += _fresh(document, heard)
    checks += clock(document, heard, now_ms())
    return checks


async def _ask(
    document: TreatyDocument, verifier: VerifierTerms, settings: NodeConfig, tls: TlsFiles
) -> tuple[Check, Heard | None]:
    name = f"verifier {verifier.name}"
    proxy = settings.egress.proxy if settings.egress else None
    address = settings.verifiers.get(verifier.name)
    channel = open_channel(verifier, tls.credentials(), address, proxy=proxy)
    try:
        status = wire.from_status(
            await rpc.VerifierStub(channel).GetStatus(wire.to_status(), timeout=ASK_S, wait_for_ready=True)
        )
        policy = document.witness_policy(verifier.origin)
        opened = open_checkpoint(status.checkpoint, verifier.log_key, tuple(policy.witnesses.values()))
    except grpc.aio.AioRpcError as error:
        fix = "check the address, the firewall, and whether it accepts your certificate"
        return Check(name, State.WARN, f"{address or verifier.grpc}: {wire.reason(error)}"[:300], fix), None
    except BrakelineError as error:
        text = f"its answer is not believed: {error.code}: {error.message}"
        return Check(name, State.WARN, text, "keep the answer; tell your party"), None
    finally:
        await channel.close(grace=0)
    newest = max(opened.cosignatures.values(), default=None)
    found = f"answers; its log holds {opened.checkpoint.size} entries"
    return Check(name, State.OK, found), Heard(status.treaty, None if newest is None else newest * 1000)


def _reach(heard: int, document: TreatyDocument) -> Check:
    n, quorum = len(document.verifiers), document.quorum.receipts
    if heard >= quorum:
        return Check("reach", State.OK, f"{heard} of {n} verifiers answer; {quorum} are a quorum")
    return Check(
        "reach", State.FAIL, f"{heard} of {n} verifiers answer; {quorum} are a quorum", "see the verifiers above"
    )


def _fresh(document: TreatyDocument, heard: list[Heard]) -> list[Check]:
    """Whether f + 1 verifiers, so an honest one among them, run under another version of the treaty."""
    others = [answer.treaty for answer in heard if answer.treaty != document.digest]
    if len(others) > document.quorum.liars:
        fix = "get the amendment from your party, and compare its digest in two places"
        return [Check("treaty-fresh", State.WARN, f"{len(others)} verifiers run under {others[0][:16]}...", fix)]
    return [Check("treaty-fresh", State.OK, "the verifiers run under this version")] if heard else []


def clock(document: TreatyDocument, heard: list[Heard], now: int) -> list[Check]:
    """Compare our clock with the times that witnesses signed (see above)."""
    skew, longest = document.deadlines.skew_ms.value, document.deadlines.checkpoint_ms.value
    times = [answer.newest_ms for answer in heard if answer.newest_ms is not None]
    if len(times) <= document.quorum.liars:
        return [Check("clock", State.WARN, "not compared: too few logs tell a time", "see the verifiers above")]
    trusted = sorted(times, reverse=True)[document.quorum.liars]  # at least one honest log is as late as this
    if trusted - now > skew + 1000:
        return [Check("clock", State.FAIL, f"behind by at least {(trusted - now) / 1000:.1f} s", "set it: NTP")]
    if now - trusted > longest + skew + 1000:
        text = f"ahead by some {(now - trusted - longest) / 1000:.1f} s, or the logs stand still"
        return [Check("clock", State.WARN, text, "check NTP; if the clock is right, tell your party that logs stand")]
    return [Check("clock", State.OK, "agrees with the times that witnesses signed")]
