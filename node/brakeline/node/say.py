"""What an operator says by hand: a declaration, a reply, a correction, an inventory. A TOML file becomes a statement.

    say = "declaration"                    # or "inventory", "reply", "correction"; see docs/spec/statements.md
    workload = "char-lm"
    activity = "training"
    begins_period = 412
    planned_flop = "1000000000000000000"   # numbers of FLOP, joules and milliseconds are strings of digits
    chips = [{class = "cpu-core", count = 2}]
    parents = []
    purpose = "a language model"

Author, sequence, previous and treaty are the node's to fill in. Serial numbers may be given as
``{file = "serials.txt"}``, one a line, relative to the file; of an inventory, ``follows`` is the newest one unless it
is given.

The same file is said once, however often it is handed in and whatever crashes: the journal keeps the SHA-256 of what
was asked beside the statement that answered. While the node runs, it signs: the request goes through the folder
``inbox`` of the node, which belongs to the operator alone (training programs reach the socket, and must not speak for
the site).
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import cast

from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.merkle import Frontier, leaf_hash
from brakeline.node.config import read_serials
from brakeline.node.journal import Claim, JournalError
from brakeline.node.site import Position, Site
from brakeline.treaty import strictjson
from brakeline.treaty.document import ZERO_DIGEST
from brakeline.treaty.oversight import Correction, Declaration, Reply
from brakeline.treaty.statements import AuthoredPredicate, Inventory
from brakeline.treaty.strictjson import JsonObject, JsonValue
from brakeline.treaty.toml_lines import locate
from pydantic import ValidationError

INBOX = "inbox"
MAX_BYTES = 65_536
"""Of a file that is to be said, and of a request."""
SAYABLE: Mapping[str, type[AuthoredPredicate]] = {
    "declaration": Declaration,
    "inventory": Inventory,
    "reply": Reply,
    "correction": Correction,
}
"""What a person may say for a site. Books, acknowledgements and openings are the node's own business."""

_POSITION = {field.name for field in fields(Position)}


class SayError(BrakelineError):
    """What is to be said is not right (codes ``say-*``)."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked to be said: the predicate's name and its members without the author's position."""

    kind: str
    members: JsonObject

    @property
    def id(self) -> str:
        """SHA-256 of the request, lowercase hex: asking the same again is the same request."""
        return hashlib.sha256(self.encode()).hexdigest()

    def encode(self) -> bytes:
        """Return the request in canonical JSON."""
        return strictjson.canonical({"say": self.kind, "members": self.members})

    def at(self, position: Position) -> AuthoredPredicate:
        """Return what would be signed at *position* (pydantic's ``ValidationError``)."""
        value = {**self.members, **asdict(position)}
        return SAYABLE[self.kind].model_validate(value, by_alias=True, by_name=False)


@dataclass(frozen=True, slots=True)
class Said:
    """The statement that answered a request."""

    request: str
    digest: str
    sequence: int


def read(path: Path, site: str) -> Request:
    """Read the file *path*, as the site *site* would say it.

    Raises:
        SayError: ``say-unreadable``, ``say-size``, ``say-toml``, ``say-kind``, ``say-value`` (with its line).
        ConfigError: ``config-serials``.
    """
    text = _text(path)
    try:
        value = cast("JsonObject", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SayError(
            code="say-toml", message=f"{path.name} is not TOML", expected="TOML 1.0", found=str(error)
        ) from None
    kind = value.pop("say", None)
    if not isinstance(kind, str) or kind not in SAYABLE:
        raise SayError(
            code="say-kind",
            message=f"{path.name} does not say what it is",
            expected=f"say = one of {', '.join(sorted(SAYABLE))}",
            found=str(kind)[:80],
            fix="brakeline node say --help",
        )
    for name in _POSITION & value.keys():
        raise SayError(
            code="say-value",
            message=f"{path.name}, line {locate(text).of((name,))}: {name} is the node's to fill in",
            expected="members of the predicate alone",
            found=name,
            fix="leave it out",
        )
    request = Request(kind, cast("JsonObject", _with_serials(value, path.parent)))
    try:
        request.at(Position(site, 0, ZERO_DIGEST, ZERO_DIGEST))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = tuple(first["loc"])
        raise SayError(
            code="say-value",
            message=f"{path.name}, line {locate(text).of(place)}: {'.'.join(map(str, place))} is not right",
            expected=first["msg"],
            found=repr(first.get("input"))[:80],
            fix=f"docs/spec/statements.md has the members of a {kind}",
        ) from None
    return request


def take(site: Site, request: Request) -> Said:
    """Say what is asked, or return how it was said before.

    Raises:
        SiteError: admission would not take it.
        JournalError: ``journal-io``: nothing was signed.
    """
    known = site.journal.answered(request.id)
    if known is None:
        made = site.sign_and_spool(_linked(site, request).at, claim=Claim(request=request.id))
        known = made.sequence, made.digest
    return Said(request.id, known[1], known[0])


def _linked(site: Site, request: Request) -> Request:
    """Let an inventory follow the site's newest, unless it says itself what it follows."""
    newest = site.newest_inventory()
    if request.kind != "inventory" or "follows" in request.members or newest is None:
        return request
    return Request(request.kind, {**request.members, "follows": newest.digest})


# through the inbox ----------------------------------------------------------------------------------------------------


def post(folder: Path, request: Request) -> None:
    """Leave *request* in the inbox of the node in *folder*, whole or not at all."""
    inbox = folder / INBOX
    inbox.mkdir(mode=0o700, exist_ok=True)
    _write(inbox / f"{request.id}.json", request.encode())


def answer(folder: Path, request: Request) -> Said | None:
    """Return what the node answered, None while it has not.

    Raises:
        SayError: the node refused; with the refusal's own code.
    """
    path = folder / INBOX / f"{request.id}.said"
    if not path.exists():
        return None
    value = strictjson.parse_object(path.read_bytes())
    path.unlink()
    if "digest" in value:
        return Said(request.id, str(value["digest"]), cast("int", value["sequence"]))
    names = ("code", "message", "expected", "found", "fix")
    raise SayError(**{name: str(value.get(name, "")) for name in names})


def serve(folder: Path, site: Site) -> list[Said]:
    """Answer everything in the inbox of *folder*; return what was said.

    A file that is no request is answered with why, and put aside as ``.bad``: nothing is lost.
    """
    done: list[Said] = []
    for path in sorted((folder / INBOX).glob("*.json")):
        try:
            request = _request(path)
            said = take(site, request)
        except JournalError:
            raise  # the disk: the request stays, and is answered after the next start
        except (ValidationError, BrakelineError) as error:
            _write(path.with_suffix(".said"), strictjson.canonical(_refusal(error)))
            path.rename(path.with_suffix(".bad"))
            continue
        done.append(said)
        _write(path.with_suffix(".said"), strictjson.canonical({"digest": said.digest, "sequence": said.sequence}))
        path.unlink()
    return done


def _refusal(error: ValidationError | BrakelineError) -> JsonObject:
    if isinstance(error, BrakelineError):
        return {**error.as_dict()}
    return {"code": "say-value", "message": "what is to be said is not right", "found": str(error)[:500]}


def _request(path: Path) -> Request:
    if path.stat().st_size > MAX_BYTES:
        raise SayError(code="say-size", message="a request is too long", expected=f"at most {MAX_BYTES} bytes")
    value = strictjson.parse_object(path.read_bytes(), max_bytes=MAX_BYTES)
    members, kind = value.get("members"), value.get("say")
    if not isinstance(members, dict) or _POSITION & members.keys() or not isinstance(kind, str) or kind not in SAYABLE:
        raise SayError(code="say-kind", message="this is no request", expected="say and members", found=path.name)
    return Request(kind, members)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise SayError(code="say-size", message=f"{path.name} is too long", expected=f"at most {MAX_BYTES} bytes")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SayError(
            code="say-unreadable", message=f"{path} cannot be read", expected="a TOML file in UTF-8", found=str(error)
        ) from None


def _with_serials(value: JsonValue, folder: Path) -> JsonValue:
    """Replace ``serials = {file = ...}`` everywhere by the root over the file's serial numbers and their count."""
    if isinstance(value, list):
        return [_with_serials(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    made: JsonObject = {}
    for name, item in value.items():
        file = item.get("file") if name == "serials" and isinstance(item, dict) and len(item) == 1 else None
        made[name] = _serials(folder / file) if isinstance(file, str) else _with_serials(item, folder)
    return made


def _serials(path: Path) -> JsonObject:
    frontier = Frontier()
    names = read_serials(path)
    for name in names:
        frontier.append(leaf_hash(name.encode()))
    return {"root": frontier.root().hex(), "count": len(names)}


def _write(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
