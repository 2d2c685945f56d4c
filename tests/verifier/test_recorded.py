"""A node of an older version is served: its requests, recorded as bytes, are answered as they were then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import parse_statement
from brakeline.v1 import verifier_pb2 as pb

from tests.support import cast, recorded
from tests.support.recorded import FOLDER, Call, Recording
from tests.verifier import world

FILES = sorted(FOLDER.glob("*.json"))


def replayed(folder: Path, recording: Recording) -> list[tuple[Call, tuple[str, ...]]]:
    """Play *recording* to a new verifier of the treaty that was recorded with it."""
    document = parse_statement(Envelope.from_dsse_json(recording.treaty).payload).predicate
    assert isinstance(document, TreatyDocument)
    verifiers = world.World(folder, document)

    async def scene() -> list[tuple[Call, tuple[str, ...]]]:
        async with world.running(verifiers) as (judge,):
            credentials = verifiers.credentials(cast.LABS[0])
            address = judge.addresses["grpc"]
            async with grpc.aio.secure_channel(address, credentials, options=world.CHANNEL_OPTIONS) as channel:
                return await recorded.replay(recording, channel)

    return asyncio.run(scene())


def test_there_is_a_recording() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_requests_of_each_recorded_version_are_answered_as_they_were_then(path: Path, tmp_path: Path) -> None:
    recording = Recording.read(path)
    for call, now in replayed(tmp_path, recording):
        assert now == call.outcomes, (recording.version, call.method)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_recording_holds_what_a_node_sends(path: Path) -> None:
    recording = Recording.read(path)
    assert {call.method for call in recording.calls} == {"SubmitBatch", "GetReceipt", "GetStatus", "Watch"}
    batches = [pb.SubmitBatchRequest.FromString(c.request) for c in recording.calls if c.method == "SubmitBatch"]
    sent = [item for batch in batches for item in batch.attestations]
    names = {parse_statement(item.payload).name for item in sent}
    assert names >= {"enrolment", "inventory", "usage", "order", "acknowledgement"}
    assert any(item.disclosure for item in sent)


def test_an_answer_that_differs_is_seen(tmp_path: Path) -> None:
    """A signature that does not hold is refused, and was taken when it was recorded."""
    recording = Recording.read(FILES[0])
    place, call = next((n, c) for n, c in enumerate(recording.calls) if c.method == "SubmitBatch")
    request = pb.SubmitBatchRequest.FromString(call.request)
    request.attestations[0].signatures[0].sig = bytes(64)
    recording.calls[place] = Call(call.method, request.SerializeToString(), call.outcomes)
    assert any(now != then.outcomes for then, now in replayed(tmp_path, recording))
