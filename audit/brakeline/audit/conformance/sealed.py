"""Cases of sealed values: what opens one statement whole, and what does not. Salts are from fixed seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from itertools import count

from brakeline.audit.conformance.case import VALID, Case
from brakeline.audit.story import SITE, Story, key_seed
from brakeline.treaty.disclosure import Disclosure
from brakeline.treaty.seal import seal_digest
from brakeline.treaty.sealing import Opened, seal_payload
from brakeline.treaty.statements import parse_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical, parse_object

_LINE = "/predicate/lines/0"
FLOP, TOKENS = f"{_LINE}/flop_model", f"{_LINE}/tokens"
SHORT = key_seed("short", "salt")[:16]

Openings = list[JsonObject]


def sealed_cases(story: Story) -> Iterator[Case]:
    """Yield the cases of salts and of disclosures."""
    yield from _salts()
    yield from _forms(story)
    yield from _openings(story)


def _salts() -> Iterator[Case]:
    value = "41287680000"
    for name, salt in (("short", SHORT), ("long", key_seed("long", "salt") + b"\0")):
        digest = _digest(salt, 7, FLOP, value)
        given: JsonObject = {
            "sealed": digest, "salt": salt.hex(), "author": SITE, "sequence": 7, "pointer": FLOP, "value": value,
        }  # fmt: skip
        why = f"a salt of {len(salt)} bytes, and a seal that was made with it"
        yield Case(f"seal-salt-{name}", "seal", why, given, "seal")


def _digest(salt: bytes, sequence: int, pointer: str, value: JsonValue) -> str:
    """Return the commitment by a salt of any size."""
    return sha256(b"brakeline/sealed/v1\0" + salt + canonical([SITE, sequence, pointer, value])).hexdigest()


class _Books:
    """The story's books with two sealed figures, FLOP and tokens, and what opens them."""

    def __init__(self, story: Story, **values: JsonValue) -> None:
        """Seal as an author that states other *values*, by member, of whatever form."""
        numbers = count()
        value = parse_object(story.payloads["usage"])
        patterns = (FLOP.replace("0", "*"), TOKENS.replace("0", "*"))
        payload, opened = seal_payload(value, "usage", patterns, 8, lambda: key_seed(f"case/{next(numbers)}", "salt"))
        self.sequence = 1
        self.payload, self.opened = payload, {item.pointer: item for item in opened}
        for member, stated in values.items():
            self.commit(f"{_LINE}/{member}", stated, self.opened[f"{_LINE}/{member}"].salt)

    def commit(self, pointer: str, value: JsonValue, salt: bytes, digest: str = "") -> None:
        """Let the statement commit to *value* at *pointer*, or to whatever *digest* says."""
        digest = digest or _digest(salt, self.sequence, pointer, value)
        before = parse_object(self.payload)
        predicate = before["predicate"]
        if not isinstance(predicate, dict) or not isinstance(lines := predicate["lines"], list):
            raise TypeError("the story's books have lines")
        first = lines[0]
        if not isinstance(first, dict):
            raise TypeError("a line is an object")
        line: JsonObject = {**first, pointer.rpartition("/")[2]: {"sealed": digest}}
        self.payload = canonical({**before, "predicate": {**predicate, "lines": [line, *lines[1:]]}})
        self.opened[pointer] = Opened(pointer, salt, value)

    def value(self) -> JsonObject:
        """Return the disclosure as JSON."""
        digest = parse_statement(self.payload).digest
        return parse_object(
            Disclosure(digest, SITE, self.sequence, tuple(self.opened[name] for name in sorted(self.opened))).encoded
        )


def _ask(name: str, why: str, expect: str, payload: bytes, disclosure: JsonValue) -> Case:
    given: JsonObject = {"payload": payload.decode(), "disclosure": canonical(disclosure).decode()}
    return Case(f"disclosure-{name}", "disclosure", why, given, expect)


def _openings_of(value: JsonObject) -> Openings:
    found = value["openings"]
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _forms(story: Story) -> Iterator[Case]:
    """Yield what is no disclosure, whatever it is of."""
    books = _Books(story)
    whole = books.value()
    one, two = _openings_of(whole)
    bad: Mapping[str, tuple[str, JsonObject]] = {
        "member-more": ("a further member", {**whole, "by": "somebody"}),
        "opening-member-more": ("a further member of an opening", {**whole, "openings": [{**one, "by": ""}, two]}),
        "no-author": ("the author is missing", {name: item for name, item in whole.items() if name != "author"}),
        "sequence-text": ("the sequence as text", {**whole, "sequence": "1"}),
        "unordered": ("openings are not in order of pointer", {**whole, "openings": [two, one]}),
        "leaf-twice": ("a leaf is opened twice", {**whole, "openings": [one, one, two]}),
        "salt-upper": ("a salt in upper case", {**whole, "openings": [{**one, "salt": _upper(one)}, two]}),
    }
    for name, (why, value) in bad.items():
        yield _ask(name, why, "malformed", books.payload, value)
    short = _Books(story)
    short.commit(FLOP, "41287680000", SHORT)
    yield _ask(
        "salt-short", "a salt of 16 bytes, by which the statement was sealed", "malformed", short.payload, short.value()
    )
    text = canonical(whole).decode()
    given: JsonObject = {"payload": books.payload.decode(), "disclosure": text + " "}
    yield Case("disclosure-not-canonical", "disclosure", "not canonical JSON", given, "json")


def _upper(opening: JsonObject) -> str:
    salt = opening["salt"]
    return salt.upper() if isinstance(salt, str) else ""


def _openings(story: Story) -> Iterator[Case]:
    """Yield disclosures of the right form that do not open the statement."""
    books = _Books(story)
    whole = books.value()
    one, two = _openings_of(whole)
    yield _ask("valid", "nothing is wrong", VALID, books.payload, whole)
    change: Callable[[Openings], JsonObject] = lambda openings: {**whole, "openings": [*openings]}  # noqa: E731
    bad: Mapping[str, tuple[str, str, JsonObject]] = {
        "not-here": ("it names a statement that is not here", "other", {**whole, "statement": "0" * 64}),
        "other-author": ("it names another author", "other", {**whole, "author": f"{SITE}x"}),
        "other-sequence": ("it names another place in the chain", "other", {**whole, "sequence": 2}),
        "never-sealed": ("it opens a value that stands there open", "incomplete", change([one, _joules(), two])),
        "half": ("it leaves a sealed leaf shut", "incomplete", change([one])),
        "nothing": ("it opens nothing", "incomplete", change([])),
        "other-value": ("a value is another, under the right salt", "false", change([{**one, "value": "1"}, two])),
        "other-salt": ("a salt is another", "false", change([{**one, "salt": two["salt"]}, two])),
        "fields-exchanged": (
            "two openings stand at each other's place, each with its right salt", "false",
            change([{**two, "pointer": FLOP}, {**one, "pointer": TOKENS}]),
        ),
    }  # fmt: skip
    for name, (why, expect, value) in bad.items():
        yield _ask(name, why, expect, books.payload, value)
    yield from _commitments(story)


def _joules() -> JsonObject:
    return {"pointer": f"{_LINE}/joules", "salt": key_seed("joules", "salt").hex(), "value": "306"}


def _commitments(story: Story) -> Iterator[Case]:
    """Yield statements that commit to what cannot be opened."""
    salt = key_seed("copied", "salt")
    copied = _Books(story)
    copied.commit(FLOP, "7", salt, seal_digest(salt, SITE, copied.sequence + 1, FLOP, "7"))
    why = "a seal that was made for another statement of the author"
    yield _ask("copied-statement", why, "false", copied.payload, copied.value())
    moved = _Books(story)
    moved.commit(FLOP, "7", salt, seal_digest(salt, SITE, moved.sequence, TOKENS, "7"))
    yield _ask("copied-field", "a seal that was made for another field", "false", moved.payload, moved.value())
    zero = _Books(story, flop_model="07")
    yield _ask("value-form", "what was sealed is not of the field's form", "unreadable", zero.payload, zero.value())
    inner: JsonObject = {"sealed": "0" * 64}
    nested = _Books(story, flop_model=inner)
    why = "what was sealed is itself a commitment"
    yield _ask("value-sealed", why, "unreadable", nested.payload, nested.value())
