"""Cases of what is said: statements, treaties, admission, and the bodies a verifier writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from brakeline.audit.conformance.case import VALID, Case
from brakeline.audit.story import LAB, METER, PARTIES, PERIOD, SITE, START, VERIFIERS, Story, signed_checkpoint
from brakeline.audit.story import signer as make_signer
from brakeline.audit.story import vkey as make_vkey
from brakeline.ledger.entry import RawSignature
from brakeline.treaty.envelope import Envelope, pae
from brakeline.treaty.logbody import Heartbeat, Mirrored
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical, parse_object

NOW = START + 60_000
FURTHER = "verifier-5.example"
"""A verifier that the story's treaty does not name."""


def said_cases(story: Story) -> Iterator[Case]:
    """Yield the cases of statements, treaties, admission, heartbeats and findings."""
    yield from _statements(story)
    yield from _treaties(story)
    yield from _admissions(story)
    yield from _amendments(story)
    yield from _heartbeats(story)
    yield from _findings()


def _case(kind: str, name: str, why: str, expect: str, **given: JsonValue) -> Case:
    return Case(f"{kind}-{name}", kind, why, given, expect)


def edited(payload: bytes, *changes: tuple[str, JsonValue | None]) -> bytes:
    """Return the canonical payload with members replaced; ``predicate/lines/0/x`` walks, None removes."""
    value = parse_object(payload)
    for path, new in changes:
        at: JsonValue = value
        *steps, last = path.split("/")
        for step in steps:
            at = _step(at, step)
        if isinstance(at, dict):
            at.pop(last, None)
            if new is not None:
                at[last] = new
    return canonical(value)


def _step(at: JsonValue, step: str) -> JsonValue:
    if isinstance(at, list):
        return at[int(step)]
    return at[step] if isinstance(at, dict) else at


def sign(payload: bytes, *holders: str) -> str:
    """Return the envelope of *payload* by the statement keys of *holders*, as DSSE JSON."""
    signers = [(make_vkey(name).keyid, make_signer(name)) for name in holders]
    signatures = tuple(RawSignature(keyid, signer.sign(pae(payload))) for keyid, signer in signers)
    return Envelope(payload, signatures).to_dsse_json().decode()


def _statements(story: Story) -> Iterator[Case]:
    usage = story.payloads["usage"]
    yield _case("statement", "valid", "nothing is wrong", VALID, payload=usage.decode())
    bad: Mapping[str, tuple[str, tuple[str, JsonValue | None]]] = {
        "other-type": ("another statement type", ("_type", "https://in-toto.io/Statement/v0.1")),
        "unknown-predicate": ("an unknown predicate type", ("predicateType", "https://brakeline.example/usage/v2")),
        "member-more": ("a further member", ("extra", 1)),
        "predicate-member-more": ("a further member of the predicate", ("predicate/extra", 1)),
        "no-author": ("a member is missing", ("predicate/author", None)),
        "author-upper": ("a name in upper case", ("predicate/author", SITE.upper())),
        "sequence-text": ("a sequence as text", ("predicate/sequence", "1")),
        "sequence-negative": ("a negative sequence", ("predicate/sequence", -1)),
        "flop-number": ("FLOP as a number", ("predicate/lines/0/flop_model", 7)),
        "flop-leading-zero": ("FLOP with a leading zero", ("predicate/lines/0/flop_model", "07")),
        "flop-too-long": ("FLOP of 41 digits", ("predicate/lines/0/flop_model", "9" * 41)),
        "activity-unknown": ("an activity that is not on the list", ("predicate/lines/0/activity", "thinking")),
        "no-lines": ("books without a line", ("predicate/lines", [])),
        "digest-upper": ("a digest in upper case", ("predicate/inventory", "A" * 64)),
        "subject-none": ("no subject", ("subject", [])),
        "subject-other": ("the first subject is not what it is about", ("subject/0/digest/sha256", "0" * 64)),
    }
    for name, (why, change) in bad.items():
        payload = _subject(usage, "0" * 64) if name == "subject-other" else edited(usage, change)
        yield _case("statement", name, why, "statement", payload=payload.decode())


def _subject(payload: bytes, digest: str) -> bytes:
    return edited(payload, ("subject", [{"name": "inventory", "digest": {"sha256": digest}}]))


def _treaties(story: Story) -> Iterator[Case]:
    whole = story.envelopes["treaty"]

    def ask(name: str, why: str, expect: str, signatures: tuple[RawSignature, ...], pin: str = story.pin) -> Case:
        text = Envelope(whole.payload, signatures).to_dsse_json().decode()
        return _case("treaty", name, why, expect, envelope=text, pin=pin)

    by = {signature.keyid: signature for signature in whole.signatures}
    parties = [make_vkey(name).keyid for name in PARTIES]
    site = RawSignature(make_vkey(SITE).keyid, make_signer(SITE).sign(pae(whole.payload)))
    yield ask("valid", "nothing is wrong", VALID, whole.signatures)
    yield ask("other-pin", "another treaty is pinned", "treaty-not-pinned", whole.signatures, "0" * 64)
    yield ask("one-party", "too few parties have signed", "signatures-too-few", _less(whole, parties[0]))
    lab = make_vkey(LAB).keyid
    yield ask("lab-unsigned", "a key that it names has not signed", "signatures-too-few", _less(whole, lab))
    yield ask("stranger", "a key that it does not name has signed", "signer-not-allowed", (*whole.signatures, site))
    log = make_vkey(VERIFIERS[0], "log").keyid
    false = RawSignature(log, by[lab].sig)
    yield ask("log-false", "a signature is another key's", "signature-invalid", (*_less(whole, log), false))


def _less(envelope: Envelope, keyid: str) -> tuple[RawSignature, ...]:
    return tuple(signature for signature in envelope.signatures if signature.keyid != keyid)


def _admissions(story: Story) -> Iterator[Case]:
    treaty = story.envelopes["treaty"].to_dsse_json().decode()
    shown = {name: envelope.to_dsse_json().decode() for name, envelope in story.envelopes.items()}
    enrolled = [shown["enrolment"]]
    held = [*enrolled, shown["inventory"]]
    usage, order = story.payloads["usage"], story.payloads["order"]

    def ask(name: str, why: str, expect: str, envelope: str, prefix: list[str], now_ms: int = NOW) -> Case:
        given: JsonObject = {"treaty": treaty, "prefix": list(prefix), "envelope": envelope, "now_ms": now_ms}
        return _case("admission", name, why, expect, **given)

    yield ask("valid", "nothing is wrong", VALID, shown["usage"], held)
    yield ask("again", "what a log holds is admitted again", VALID, shown["inventory"], held)
    yield ask("key-unknown", "the key is not enrolled here", "key-unknown", shown["inventory"], [])
    yield ask("parent-unknown", "its parent is not here", "parent-unknown", shown["usage"], enrolled)
    soon = START + PERIOD - 2_001
    yield ask("future-dated", "its period has not ended, skew included", "future-dated", shown["usage"], held, soon)
    yield ask("at-the-skew", "its period ends at the very limit of the skew", VALID, shown["usage"], held, soon + 1)
    false = edited(usage, ("predicate/lines/0/workload", "other"))
    wrong = Envelope(false, story.envelopes["usage"].signatures).to_dsse_json().decode()
    yield ask("signature-invalid", "the payload is not what was signed", "signature-invalid", wrong, held)
    yield ask("two-signers", "a second key has signed too", "signer-not-allowed", sign(usage, SITE, METER), held)
    yield ask("other-role", "a meter keeps a site's books", "signer-not-allowed", sign(usage, METER), held)
    other = sign(edited(usage, ("predicate/treaty", "0" * 64)), SITE)
    yield ask("other-treaty", "it is made under an unknown treaty", "treaty-unknown", other, held)
    off = edited(usage, ("predicate/start", START + 1), ("predicate/end", START + 1 + PERIOD))
    yield ask("off-grid", "its period is not on the grid", "off-grid", sign(off, SITE), held)
    lines: list[JsonValue] = [_line(number) for number in range(9)]
    many = edited(usage, ("predicate/lines", lines))
    yield ask("too-many-lines", "more lines than the treaty allows", "too-many-lines", sign(many, SITE), held)
    chain = edited(usage, ("predicate/sequence", 0))
    yield ask("chain-malformed", "a first statement with a parent", "chain-malformed", sign(chain, SITE), held)
    one = sign(order, PARTIES[0])
    yield ask("order-one-party", "one party alone orders", "signatures-too-few", one, [])
    three = sign(order, *PARTIES, METER)
    yield ask("order-stranger", "a meter signs an order too", "signer-not-allowed", three, [])
    expired = edited(order, ("predicate/expiry_period", 1))
    yield ask("order-periods", "an order that expires as it begins", "order-periods", sign(expired, *PARTIES), [])
    enrolment = story.payloads["enrolment"]
    yield ask("enrolment-unproven", "the enrolled key has not signed", "signer-not-allowed", sign(enrolment, LAB), [])
    reused = edited(enrolment, ("predicate/key", _as_site(METER)), ("subject/0/digest/sha256", ""))
    payload = _resubject(reused, make_vkey(METER).keyid)
    yield ask("key-reused", "the treaty names the enrolled key", "key-reused", sign(payload, LAB, METER), [])


def _amendments(story: Story) -> Iterator[Case]:
    """Yield the cases of versions after the first."""
    treaty = story.envelopes["treaty"].to_dsse_json().decode()
    named = sha256(canonical(parse_object(story.payloads["treaty"])["predicate"])).hexdigest()

    def ask(name: str, why: str, expect: str, envelope: str, prefix: Sequence[str] = ()) -> Case:
        given: JsonObject = {"treaty": treaty, "prefix": list(prefix), "envelope": envelope, "now_ms": NOW}
        return _case("admission", f"amendment-{name}", why, expect, **given)

    def version(number: int, previous: JsonValue, period: int, *more: tuple[str, JsonValue | None]) -> bytes:
        changed = edited(
            story.payloads["treaty"],
            ("predicateType", "https://brakeline.example/amendment/v1"),
            ("predicate/version", number),
            ("predicate/previous", previous),
            ("predicate/effective_period", period),
            *more,
        )
        predicate = parse_object(changed)["predicate"]
        own = sha256(canonical(predicate)).hexdigest()
        return edited(changed, ("subject/0/digest/sha256", own))

    second = version(2, named, 5)
    own = sha256(canonical(parse_object(second)["predicate"])).hexdigest()
    signed = sign(second, *PARTIES)
    yield ask("valid", "both quorums have signed", VALID, signed)
    yield ask("again", "a version that is here already", VALID, signed, [signed])
    yield ask(
        "rival",
        "a second version after the same one is evidence",
        VALID,
        sign(version(2, named, 6), *PARTIES),
        [signed],
    )
    yield ask("one-party", "one party alone amends", "signatures-too-few", sign(second, PARTIES[0]))
    yield ask("stranger", "a key of neither version has signed", "signer-not-allowed", sign(second, *PARTIES, SITE))
    yield ask("lab-too", "a key that it names may sign besides", VALID, sign(second, *PARTIES, LAB))
    yield ask("orphan", "the version before it is not here", "treaty-unknown", sign(version(3, own, 9), *PARTIES))
    yield ask("third", "a version after the second", VALID, sign(version(3, own, 9), *PARTIES), [signed])
    yield ask("skips", "it skips a number", "treaty-succession", sign(version(3, named, 5), *PARTIES))
    early = sign(version(3, own, 5), *PARTIES)
    yield ask("too-early", "it begins with its predecessor", "treaty-succession", early, [signed])
    grid = sign(version(2, named, 5, ("predicate/grid/period_ms", PERIOD + 1)), *PARTIES)
    yield ask("other-grid", "it changes the grid", "treaty-succession", grid)
    yield from _rekeyed_logs(story, version, ask, named)
    as_treaty = edited(second, ("predicateType", "https://brakeline.example/treaty/v1"))
    yield ask("as-treaty", "a later version that calls itself a treaty", "statement-schema", sign(as_treaty, *PARTIES))
    rival = version(3, own, 9, ("predicate/settles", ["f" * 64]))
    yield ask("settles", "it says which rival no longer counts", VALID, sign(rival, *PARTIES), [signed])
    both: list[JsonValue] = ["f" * 64, "f" * 64]
    twice = sign(version(3, own, 9, ("predicate/settles", both)), *PARTIES)
    yield ask("settles-twice", "a rival named twice", "statement-schema", twice, [signed])
    enrolment = edited(story.payloads["enrolment"], ("predicate/treaty", own))
    yield ask("named", "a statement under the second version", VALID, sign(enrolment, LAB, SITE), [signed])
    yield ask("not-named-yet", "a statement under a version not here", "treaty-unknown", sign(enrolment, LAB, SITE))
    yield ask(
        "older-named",
        "a statement under the first version",
        VALID,
        sign(story.payloads["enrolment"], LAB, SITE),
        [signed],
    )


def _rekeyed_logs(story: Story, version: Callable[..., bytes], ask: Callable[..., Case], first: str) -> Iterator[Case]:
    """Yield the cases of a log that is named again, at once or after a version without it."""
    *stay, last = _list(parse_object(story.payloads["treaty"])["predicate"], "verifier")

    def log(name: str, keys: str) -> tuple[JsonObject, list[tuple[str, str]]]:
        """Return the row of the log *name* with the keys of *keys*, and these."""
        witness = replace(make_vkey(keys, "witness"), name=f"{name}/witness")
        texts: JsonObject = {"log_key": str(replace(make_vkey(keys, "log"), name=name)), "witness_key": str(witness)}
        return {**_object(last), "name": name, **texts}, [(keys, "log"), (keys, "witness")]

    def signed(number: int, previous: str, row: JsonObject, held: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """Return a version with *row* for the last log, and its digest."""
        payload = version(number, previous, 4 * number, ("predicate/verifier", [*stay, row]))
        holders = [*((name, "statement") for name in PARTIES), *held]
        signatures = tuple(
            RawSignature(make_vkey(*holder).keyid, make_signer(*holder).sign(pae(payload))) for holder in holders
        )
        own = sha256(canonical(parse_object(payload)["predicate"])).hexdigest()
        return Envelope(payload, signatures).to_dsse_json().decode(), own

    rekeyed, _ = signed(2, first, *log(VERIFIERS[3], FURTHER))
    yield ask("rekeyed", "a log that stays has other keys", "treaty-succession", rekeyed)
    replaced, own = signed(2, first, *log(FURTHER, FURTHER))
    yield ask("replaced", "another log, which has signed, takes the place of one", VALID, replaced)
    back, _ = signed(3, own, *log(VERIFIERS[3], VERIFIERS[3]))
    yield ask("log-back", "a log that was left out is back with its keys", VALID, back, [replaced])
    other, _ = signed(3, own, *log(VERIFIERS[3], "verifier-6.example"))
    yield ask("log-back-rekeyed", "it is back with other keys", "treaty-succession", other, [replaced])


def _list(value: JsonValue, member: str) -> list[JsonValue]:
    found = _object(value)[member]
    return found if isinstance(found, list) else []


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _line(number: int) -> JsonObject:
    return {"workload": f"job-{number}", "activity": "idle", "chip_ms": [{"class": "cpu-core", "value": "1"}]}


def _as_site(name: str) -> str:
    """Return the vkey of another's key bytes under the site's name."""
    key = make_vkey(name)
    return str(type(key)(SITE, key.type, key.public_key))


def _resubject(payload: bytes, keyid: str) -> bytes:
    return edited(payload, ("subject", [{"name": SITE, "digest": {"sha256": keyid}}]))


def _heartbeats(story: Story) -> Iterator[Case]:
    note = signed_checkpoint(VERIFIERS[1], story.entries[:4]).decode()
    peers = [Mirrored(origin=name, checkpoint=note) for name in VERIFIERS[1:3]]
    body = Heartbeat(mirrored=tuple(peers)).body
    yield _case("heartbeat", "valid", "nothing is wrong", VALID, body=body.decode())
    shown: list[JsonObject] = [{"origin": item.origin, "checkpoint": item.checkpoint} for item in peers]
    bad: Mapping[str, tuple[str, JsonObject]] = {
        "unsorted": ("peers are not sorted", {"mirrored": [shown[1], shown[0]]}),
        "peer-twice": ("a peer stands twice", {"mirrored": [shown[0], shown[0]]}),
        "no-peers": ("the list of peers is missing", {}),
        "member-more": ("a further member", {"mirrored": [], "at": 1}),
    }
    for name, (why, value) in bad.items():
        yield _case("heartbeat", name, why, "heartbeat", body=canonical(value).decode())


def _findings() -> Iterator[Case]:
    whole: JsonObject = {
        "rule": "late", "severity": "note", "article": "Art. 14", "about": SITE, "period": 3,
        "statements": ["0" * 64, "1" * 64], "figures": {"due_ms": "1000"},
    }  # fmt: skip
    yield _case("finding", "valid", "nothing is wrong", VALID, body=canonical(whole).decode())
    change: Callable[[JsonObject], str] = lambda new: canonical({**whole, **new}).decode()  # noqa: E731
    bad: Mapping[str, tuple[str, JsonObject]] = {
        "severity": ("an unknown severity", {"severity": "guilty"}),
        "unsorted": ("statements are not sorted", {"statements": ["1" * 64, "0" * 64]}),
        "statement-twice": ("a statement stands twice", {"statements": ["0" * 64, "0" * 64]}),
        "figure-number": ("a figure that is no text", {"figures": {"due_ms": 1000}}),
        "member-more": ("a further member", {"extra": 1}),
    }
    for name, (why, new) in bad.items():
        yield _case("finding", name, why, "finding", body=change(new))
