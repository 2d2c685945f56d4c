"""Write what a node of this version sends to a verifier, byte for byte, for later versions to be tested against.

    python tools/record_requests.py [FILE]

FILE is ``tests/recorded/VERSION.json`` by default. A node made by ``init`` reports to one verifier on loopback, through
a relay that keeps every request: enrolment and inventory, books with sealed figures and their disclosures, an order of
the parties and its acknowledgement, receipts asked for, watching, status. Keys are those of the tests. Run it once for
each release, and commit the file; it is never written again (docs/upgrading.md).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import grpc  # noqa: E402
import trustme  # noqa: E402
from brakeline.node.submit import submit_everywhere  # noqa: E402
from brakeline.node.tls import TlsFiles, open_channel  # noqa: E402
from brakeline.treaty.document import TreatyDocument  # noqa: E402
from brakeline.treaty.quantities import InstantMs  # noqa: E402
from brakeline.treaty.statements import Acknowledgement  # noqa: E402

from tests.node import house  # noqa: E402
from tests.support import cast  # noqa: E402
from tests.support.recorded import FOLDER, SERVICE, Recorder, Recording, ask, recording_at  # noqa: E402
from tests.verifier import world  # noqa: E402


async def record(scratch: Path) -> Recording:
    """Run the small world below *scratch* and return what the node sent."""
    authority = trustme.CA()
    value = world.treaty(1, heartbeat_ms=500, sealed=True).to_json()
    value["grid"] = {"start": house.now_ms(), "period_ms": house.PERIOD_MS}
    document = TreatyDocument.from_json(value)
    envelope = cast.treaty_envelope(document)
    made = Recording(version("brakeline"), envelope.to_dsse_json())
    verifiers = world.World(scratch / "verifiers", document, authority=authority)
    house.make(scratch, document, authority).journal.close()
    own = document.verifiers[0]
    files = verifiers.directory(own.name) / "tls"
    server = grpc.ssl_server_credentials(
        [((files / "server.key").read_bytes(), (files / "server.pem").read_bytes())], (files / "ca.pem").read_bytes()
    )
    mine = TlsFiles.within(scratch / "node" / "tls").credentials()
    async with world.running(verifiers) as (judge,):
        channel = open_channel(own, mine, judge.addresses["grpc"])
        async with recording_at(Recorder(channel, made), server) as address:
            at = {own.name: address}
            async with house.serving(scratch / "node", at) as site:
                await house.until(lambda: house.books(site))
                period = house.books(site)[-1].end.value
                order = cast.order(document, effective=document.grid.period_of(InstantMs(period)) + 1)
                await submit_everywhere(order, document, mine, scratch / "receipts", 20, at)
                await house.until(lambda: any(isinstance(s.predicate, Acknowledgement) for s in house.statements(site)))
                await house.until(lambda: min(site.journal.receipts().values()) >= document.quorum.receipts)
            relayed = grpc.aio.secure_channel(address, mine, (("grpc.ssl_target_name_override", own.name),))
            for method, request in status_and_receipt(site_name=cast.SITE, digest=order.digest):
                await ask(relayed, SERVICE + method, request)
            await relayed.close()
        await channel.close()
    return made


def status_and_receipt(site_name: str, digest: str) -> list[tuple[str, bytes]]:
    """Return the two questions that a node asks only in doubt: where a chain stands, and for a receipt again."""
    from brakeline.node import wire

    return [
        ("GetStatus", wire.to_status(site_name).SerializeToString()),
        ("GetReceipt", wire.to_receipt_request(digest, "", -1).SerializeToString()),
    ]


def main() -> int:
    """Record, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=FOLDER / f"{version('brakeline')}.json")
    target: Path = parser.parse_args().file
    if target.exists():
        parser.error(f"{target} is there already: a version's requests are recorded once")
    with tempfile.TemporaryDirectory() as scratch:
        made = asyncio.run(record(Path(scratch)))
    made.write(target)
    print(f"{len(made.calls)} requests in {target}, {target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
