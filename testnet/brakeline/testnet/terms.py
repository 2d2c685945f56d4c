"""The demo's treaty as the TOML file that negotiators would edit: small numbers, so that everything shows in a minute.

Pure: names, keys, addresses and the start of the grid in, text out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PERIOD_MS = 4_000
CHIPS = 2
"""Chips of class ``cpu-core`` that every site declares."""

CHIP_CLASS = "cpu-core"
BOARD_WATTS = 100
IDLE_WATTS = 10


@dataclass(frozen=True)
class Pace:
    """How much time the treaty gives, in milliseconds: this may change with the machine, the sense of it does not."""

    report: int = 16_000
    checkpoint: int = 6_000
    takeover: int = 10_000
    notice: int = 4_000
    acknowledge: int = 20_000


BRISK = Pace()
"""For the demo: most deadlines pass before the audit, so that it has something to say about them."""

PATIENT = Pace(report=90_000, checkpoint=20_000, takeover=40_000, notice=20_000, acknowledge=90_000)
"""For tests beside other tests on a small machine, where being late must not depend on the neighbours."""


@dataclass(frozen=True)
class VerifierAddress:
    """A verifier of the demo: keys as vkey texts, addresses on loopback."""

    name: str
    party: str
    log_key: str
    witness_key: str
    url: str
    grpc: str


@dataclass(frozen=True)
class Cast:
    """Whom the treaty names: parties (name, key); labs (name, party, key); third parties (name, kind, key)."""

    parties: Sequence[tuple[str, str]]
    labs: Sequence[tuple[str, str, str]]
    third_parties: Sequence[tuple[str, str, str]]
    verifiers: Sequence[VerifierAddress]


def liars(verifiers: int) -> int:
    """Return f, how many of *verifiers* may lie: the largest with n >= 3f + 1."""
    return (verifiers - 1) // 3


def quorums(parties: int, verifiers: int) -> Mapping[str, int]:
    """Return the smallest quorums that hold for f liars: w > (n + f)/2, k1 + k2 > n + f, all parties for orders."""
    f = liars(verifiers)
    majority = (verifiers + f) // 2 + 1
    return {
        "liars": f,
        "witnesses": majority,
        "receipts": majority,
        "audit": majority,
        "orders": parties,
        "amendments": parties,
    }


def render(cast: Cast, start_ms: int, pace: Pace = BRISK) -> str:
    """Return the treaty's TOML text; period 0 starts at *start_ms* (Unix ms)."""
    quorum = "\n".join(f"{name} = {value}" for name, value in quorums(len(cast.parties), len(cast.verifiers)).items())
    tables = [
        _HEAD.format(start=start_ms, period=PERIOD_MS, **{key: f"{value:_}" for key, value in vars(pace).items()}),
        f"[quorum]\n{quorum}",
        *(f'[[party]]\nname = "{name}"\nkey = "{key}"' for name, key in cast.parties),
        *(f'[[lab]]\nname = "{name}"\nparty = "{party}"\nroot_key = "{key}"' for name, party, key in cast.labs),
        *(
            f'[[third_party]]\nname = "{name}"\nkind = "{kind}"\nkey = "{key}"'
            for name, kind, key in cast.third_parties
        ),
        *(
            f'[[verifier]]\nname = "{v.name}"\nparty = "{v.party}"\nlog_key = "{v.log_key}"\n'
            f'witness_key = "{v.witness_key}"\nurl = "{v.url}"\ngrpc = "{v.grpc}"'
            for v in cast.verifiers
        ),
        _TAIL.format(chip=CHIP_CLASS, board=BOARD_WATTS, idle=IDLE_WATTS),
    ]
    return "\n\n".join(table.strip() for table in tables) + "\n"


_HEAD = """
# The treaty of the demo. The numbers are small so that a minute shows what takes months: a period is four seconds.
name = "demo.treaty.example"
version = 1
previous = "0000000000000000000000000000000000000000000000000000000000000000"
effective_period = 0
silence = "continue"

[grid]
start = {start}
period_ms = {period}

[deadlines]
report_ms = {report}        # books are due in f + 1 logs this long after a period ends
heartbeat_ms = 1_000
checkpoint_ms = {checkpoint}
takeover_ms = {takeover}
skew_ms = 2_000
notice_ms = {notice}         # an order binds from the first period that starts this long after f + 1 logs hold it
stop_ms = 2_000
save_ms = 10_000
acknowledge_ms = {acknowledge}
disclosure_ms = 30_000
reply_ms = 60_000

[limits]
child_cap = 4
line_count = 8

[goals]
significant_quantity_flop = "1000000000000000"
timeliness_ms = 86_400_000
detection = {{ numerator = 95, denominator = 100 }}
"""

_TAIL = """
[[chip_class]]
name = "{chip}"
peak_flop_per_s = "100000000000"
board_watts = {board}          # invented for the demo: what a metered core draws when busy
idle_watts = {idle}
h100_equivalent = {{ numerator = 1, denominator = 10_000 }}
source = "invented for the demo"

[counting]
profile = "free"
margin = {{ numerator = 30, denominator = 100 }}
pue = {{ numerator = 1, denominator = 1 }}

[[threshold]]
name = "significant-run"
flop = "1000000000000000"
activities = ["training"]
article = "Article 4: no run above the line without an authorisation"

[[rule]]
rule = "equivocation"
severity = "referral"
article = "Article 10: one truth"

[[rule]]
rule = "imbalance"
severity = "discrepancy"
article = "Article 11: every chip-millisecond is accounted for"

[[rule]]
rule = "peak-exceeded"
severity = "discrepancy"
article = "Article 12: figures are physically possible"

[[rule]]
rule = "threshold"
severity = "referral"
article = "Article 4: no run above the line without an authorisation"
parameters = {{ presumed_permille = 0 }}   # what is reported counts: shared cores have no peak to presume

[[rule]]
rule = "energy-gap"
severity = "discrepancy"
article = "Article 13: metered energy is explained by the books"
parameters = {{ k_joules = "5", k_permille = 0, h_joules = "120" }}

[[rule]]
rule = "missing-period"
severity = "discrepancy"
article = "Article 14: books are reported"

[[rule]]
rule = "late"
severity = "note"
article = "Article 14: books are reported in time"

[[rule]]
rule = "brake-breach"
severity = "referral"
article = "Article 20: orders are obeyed"

[[rule]]
rule = "resume-mismatch"
severity = "referral"
article = "Article 22: training goes on from what was frozen"

[[rule]]
rule = "unacknowledged-order"
severity = "discrepancy"
article = "Article 21: orders are acknowledged"

[[rule]]
rule = "verifier-conduct"
severity = "referral"
article = "Article 30: verifiers keep one history and judge by these rules"

[[rule]]
rule = "wrong-version"
severity = "note"
article = "Article 31: statements are made under the version that governs their period"

[sealing]
fields = []
holders = 3
"""
