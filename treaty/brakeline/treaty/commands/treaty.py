"""``brakeline treaty``: write, check, sign and show a treaty."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from brakeline.treaty.commands.files import (
    EXIT_INCOMPLETE,
    EXIT_MISTAKE,
    Format,
    FormatOption,
    NoPassphrase,
    PassphraseFile,
    emit,
    fail,
    open_signer,
    passphrase,
    read_bytes,
    read_document,
    read_envelope,
    reported,
    signing_json,
    signing_lines,
    treaty_of,
    write_whole,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from brakeline.treaty.document import TreatyDocument
    from brakeline.treaty.document_report import LoadedTreaty, Problem
    from brakeline.treaty.envelope import Envelope
    from brakeline.treaty.signing import SigningState
    from brakeline.treaty.template import Choices

treaty_app = typer.Typer(help="Write, check, sign and show a treaty.", no_args_is_help=True)

TreatyFile = Annotated[Path, typer.Argument(help="The treaty: a TOML file, or a signed envelope (DSSE JSON).")]


# new -----------------------------------------------------------------------------------------------------------------


@treaty_app.command("new", epilog="Example: brakeline treaty new treaty.toml --name pause.treaty.example")
def new_treaty(
    file: Annotated[Path, typer.Argument(help="The file to write; - for standard output.")],
    name: Annotated[str, typer.Option(help="The treaty's name.")] = "pause.treaty.example",
    start_ms: Annotated[
        int | None, typer.Option(help="Start of period 0, Unix ms. Default: next midnight, UTC.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="Fill in the public keys found in this directory (*.vkey).")] = None,
    make_keys: Annotated[
        bool, typer.Option("--make-keys", help="Make the keys missing in --keys, to try it out.")
    ] = False,
    seals: Annotated[
        Literal["nothing", "figures", "lines"],
        typer.Option(help="What sites may seal: FLOP, joules and tokens; or whole lines. Verifiers still judge it."),
    ] = "nothing",
    passphrase_file: PassphraseFile = None,
    no_passphrase: NoPassphrase = False,
) -> None:
    """Write a commented template with every term a treaty has: two parties, two labs, four verifiers, a meter.

    Edit it, then run `brakeline treaty check`. Keys that are not given stay as placeholders, each with the command
    that makes it.
    """
    import time

    from brakeline.treaty.names import NameKind, check_name
    from brakeline.treaty.template import Choices, render

    with reported():
        check_name(name, NameKind.TREATY)
        start = start_ms if start_ms is not None else (int(time.time()) // 86_400 + 1) * 86_400_000
        choices = Choices(name=name, start_ms=start, seals=seals)
        if make_keys and keys is None:
            raise typer.BadParameter("--make-keys needs --keys DIRECTORY")
        if str(file) != "-" and file.exists():
            fail(f"treaty-exists: {file} is there already; it is never overwritten. Choose another name")
        if keys is not None:
            if make_keys:
                _make_missing(choices, keys, passphrase(passphrase_file, no_passphrase, new=True))
            choices = Choices(name=name, start_ms=start, keys=_read_keys(choices, keys), seals=seals)
        text = render(choices)
        if str(file) == "-":
            typer.echo(text, nl=False)
        else:
            write_whole(file, text.encode("utf-8"))
            typer.echo(f"wrote {file}; edit it, then: brakeline treaty check {file}")


def _read_keys(choices: Choices, directory: Path) -> dict[tuple[str, str], str]:
    from brakeline.treaty.commands.key import public_file
    from brakeline.treaty.template import key_file

    found: dict[tuple[str, str], str] = {}
    for name, purpose in choices.wanted_keys():
        path = public_file(directory / key_file(name, purpose))
        if path.exists():
            found[name, purpose] = read_bytes(path).decode("ascii").strip()
    return found


def _make_missing(choices: Choices, directory: Path, secret: bytes | None) -> None:
    from brakeline.treaty.commands.key import Purpose, make_key, public_file
    from brakeline.treaty.template import key_file

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, purpose in choices.wanted_keys():
        path = directory / key_file(name, purpose)
        if not public_file(path).exists():
            make_key(Purpose(purpose), name, path, secret)


# check ---------------------------------------------------------------------------------------------------------------


@treaty_app.command("check", epilog="Example: brakeline treaty check treaty.toml")
def check_treaty(
    file: Annotated[Path, typer.Argument(help="The treaty's TOML file.")],
    previous: Annotated[
        Path | None, typer.Option(help="The version before: check that this one can follow it.")
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Explain every mistake by line; then say who learns what, and who together can order or block an order.

    Exit code 0: no mistake (there may be warnings). 3: mistakes.
    """
    from brakeline.treaty.document import load_toml

    with reported():
        loaded = load_toml(read_bytes(file).decode("utf-8"))
        if loaded.document is not None and previous is not None:
            loaded = _follow(loaded, read_document(previous), read_bytes(file).decode("utf-8"))
        _emit_check(file, loaded, form, None if previous is None else read_document(previous))
    if loaded.document is None:
        raise typer.Exit(EXIT_MISTAKE)


def _follow(loaded: LoadedTreaty, previous: TreatyDocument, text: str) -> LoadedTreaty:
    from brakeline.treaty.document_checks import succession_mistakes
    from brakeline.treaty.document_report import LoadedTreaty, place

    mistakes = succession_mistakes(previous, loaded.require())
    return LoadedTreaty(None, place(mistakes, text)) if mistakes else loaded


def _emit_check(file: Path, loaded: LoadedTreaty, form: Format, previous: TreatyDocument | None) -> None:
    from brakeline.treaty.changes import changes, signatures_wanted
    from brakeline.treaty.explain import explain

    document = loaded.document
    value: dict[str, object] = {
        "ok": document is not None,
        "problems": [problem.as_dict() for problem in loaded.problems],
        "warnings": [problem.as_dict() for problem in loaded.warnings],
    }
    if document is None:
        count = len(loaded.problems)
        emit(value, [*_listed(file, loaded.problems), f"{count} mistake{'s' * (count != 1)} in {file}"], form)
        return
    explanation = explain(document)
    value |= {"name": document.name, "version": document.version, "digest": document.digest}
    value["explanation"] = explanation.as_dict()
    text = [f"{file}: no mistakes. {document.name} version {document.version}", f"pin {document.digest}", ""]
    if loaded.warnings:
        text += ["Warnings (allowed, and probably not meant)", *_listed(file, loaded.warnings), ""]
    if previous is not None:
        changed, wanted = changes(previous, document), signatures_wanted(previous, document)
        value |= {"changes": list(changed), "signatures": list(wanted)}
        text += [f"What changes from period {document.effective_period} on", *(f"  {line}" for line in changed), ""]
        text += ["Who must sign", *(f"  {line}" for line in wanted), ""]
    emit(value, [*text, *explanation.lines()], form)


# amend ---------------------------------------------------------------------------------------------------------------


@treaty_app.command(
    "amend", epilog="Example: brakeline treaty amend treaty.toml --from-period 4000 --out treaty-2.toml"
)
def amend_treaty(
    file: Annotated[Path, typer.Argument(help="The version in force: its TOML file.")],
    from_period: Annotated[int, typer.Option(help="The first period that the new version governs.")],
    out: Annotated[Path, typer.Option(help="The TOML file to write.")],
) -> None:
    """Draft the next version: the same text, with its number, its predecessor's pin and its first period.

    Edit it; `treaty check NEW --previous OLD` says in plain words what changes and who must sign; then every signer
    runs `treaty sign NEW --previous OLD`. Hand it in with `brakeline node submit`, early: it governs from its first
    period on, whenever it arrives.
    """
    from brakeline.treaty.changes import drafted

    with reported():
        if out.exists():
            fail(f"treaty-exists: {out} is there already; it is never overwritten. Choose another name")
        document = read_document(file)
        if from_period <= document.effective_period:
            fail(f"treaty-succession: from period {from_period}: expected more than {document.effective_period}")
        write_whole(out, drafted(read_bytes(file).decode("utf-8"), document, from_period).encode("utf-8"))
        typer.echo(f"wrote {out}, version {document.version + 1}; edit it, then:")
        typer.echo(f"brakeline treaty check {out} --previous {file}")


def _listed(file: Path, problems: Sequence[Problem]) -> list[str]:
    return [f"{file}: {problem}" for problem in problems]


# covers --------------------------------------------------------------------------------------------------------------


@treaty_app.command(
    "covers", epilog="Example: brakeline treaty covers treaty.toml --chips h100-sxm=8 --training-flop 1e21"
)
def covers_plan(
    file: TreatyFile,
    lab: Annotated[str, typer.Option(help="Your lab's name, to see whether the treaty names it.")] = "",
    chips: Annotated[list[str] | None, typer.Option(help="CLASS=COUNT, by the treaty's classes; repeatable.")] = None,
    training_flop: Annotated[
        str, typer.Option(help="FLOP of your largest training, with all it descends from: 1e21.")
    ] = "",
    serving_flop: Annotated[str, typer.Option(help="FLOP of the model that serves most.")] = "",
    days: Annotated[int, typer.Option(help="How long your chips run.", min=1, max=36_500)] = 365,
    form: FormatOption = Format.TEXT,
) -> None:
    """Say what a treaty asks of you: floors, thresholds and duties, each with its article and its arithmetic.

    Exit code 0: nothing is owed. 1: something is, or may be. 3: a mistake in what was given.
    """
    from brakeline.treaty.covers import Plan, covers

    with reported():
        plan = Plan(
            lab=lab,
            chips=dict(_counted(item) for item in chips or []),
            training_flop=_flop(training_flop),
            serving_flop=_flop(serving_flop),
            days=days,
        )
        document = read_document(file)
        duties = covers(document, plan)
        owed = any(duty.owed is not False for duty in duties)
        lines = [f"{document.name} version {document.version}, pin {document.digest}"]
        for duty in duties:
            mark = {True: "owed", False: "not owed", None: "depends"}[duty.owed]
            lines.append(f"{mark:<10}{duty.name}: {duty.sentence}")
            lines.append(f"{'':<10}{duty.arithmetic}{f' ({duty.article})' if duty.article else ''}")
        lines.append("something is owed, or may be" if owed else "nothing is owed")
        emit({"digest": document.digest, "owed": owed, "duties": [duty.as_dict() for duty in duties]}, lines, form)
    if owed:
        raise typer.Exit(1)


def _counted(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if not name or not (count.isascii() and count.isdigit() and len(count) < 10):
        raise typer.BadParameter(f"--chips: expected CLASS=COUNT, found {text!r}")
    return name, int(count)


def _flop(text: str) -> int | None:
    """Return a whole number of FLOP, also one written as 1e21 or 1.5e21."""
    from decimal import Decimal, InvalidOperation

    if not text:
        return None
    try:
        value = Decimal(text)
        if text.isascii() and value.is_finite() and 0 <= value < 10**40 and value == int(value):
            return int(value)
    except InvalidOperation:
        pass
    raise typer.BadParameter(f"expected a whole number of FLOP (1e21), found {text!r}")


# sign ----------------------------------------------------------------------------------------------------------------


@treaty_app.command(
    "sign", epilog="Example: brakeline treaty sign treaty.toml --key party-a.example.party.key --out treaty.dsse.json"
)
def sign_treaty(
    file: TreatyFile,
    key: Annotated[list[Path], typer.Option(help="The key file to sign with; may be given several times.")],
    out: Annotated[Path, typer.Option(help="The envelope; signatures that stand in it already are kept.")],
    pin: Annotated[str, typer.Option(help="Refuse to sign anything but the version with this digest.")] = "",
    previous: Annotated[Path | None, typer.Option(help="Of an amendment, the version before it.")] = None,
    passphrase_file: PassphraseFile = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Add your signature to a treaty version, beside those that are there, and say whose are still missing.

    Signing twice changes nothing. What is signed is the canonical form of the file: see its pin with `treaty show`.
    """
    from brakeline.treaty.statements import encode_statement

    with reported():
        document = read_document(file)
        if pin and pin != document.digest:
            fail(f"treaty-not-pinned: expected {pin}, found {document.digest}. Do not sign: this is another version")
        payload = encode_statement(document)
        envelope = read_envelope(out) if out.exists() else None
        before = _before(document, previous)
        for path in key:
            envelope = _sign_with(document, before, payload, envelope, path, passphrase_file)
        if envelope is None:
            raise typer.BadParameter("give at least one --key")
        write_whole(out, envelope.to_dsse_json())
        state = _state(document, before, envelope)
        value = {"file": str(out), "digest": document.digest, **signing_json(state)}
        emit(
            value,
            [f"{out}: {document.name} version {document.version}, pin {document.digest}", *signing_lines(state)],
            form,
        )


def _before(document: TreatyDocument, previous: Path | None) -> TreatyDocument | None:
    """Return the version before *document*, which must follow from it."""
    from brakeline.treaty.document_checks import succession_mistakes

    if previous is None:
        if document.version > 1:
            fail(f"treaty-succession: this is version {document.version}: give the version before it as --previous")
        return None
    before = read_document(previous)
    mistakes = succession_mistakes(before, document)
    if mistakes:
        fail("\n".join(f"{item.code}: {item.where}: {item.message} (expected {item.expected})" for item in mistakes))
    return before


def _state(document: TreatyDocument, before: TreatyDocument | None, envelope: Envelope | None) -> SigningState:
    from brakeline.treaty.signing import amendment_state, treaty_state

    return treaty_state(document, envelope) if before is None else amendment_state(before, document, envelope)


def _sign_with(
    document: TreatyDocument,
    before: TreatyDocument | None,
    payload: bytes,
    envelope: Envelope | None,
    path: Path,
    passphrase_file: Path | None,
) -> Envelope:
    from hashlib import sha256

    from brakeline.treaty.signing import add_signature

    signer = open_signer(path, passphrase_file)
    allowed = set(document.all_statement_and_log_keys())
    allowed |= set() if before is None else {key.keyid for key in before.party_keys().values()}
    if sha256(signer.public_key).hexdigest() not in allowed:
        fail(f"signer-not-allowed: {path}: the treaty does not name this key. Sign with one that it names")
    return add_signature(payload, envelope, signer)


# show ----------------------------------------------------------------------------------------------------------------


@treaty_app.command("show", epilog="Example: brakeline treaty show treaty.dsse.json")
def show_treaty(
    file: TreatyFile,
    signed: Annotated[Path | None, typer.Option(help="The envelope, when FILE is the TOML file.")] = None,
    previous: Annotated[Path | None, typer.Option(help="Of an amendment, the version before it.")] = None,
    require_complete: Annotated[
        bool, typer.Option("--require-complete", help="Exit with 4 unless all have signed.")
    ] = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show the pin, the signatures present and missing, the rules in force and the witness policies."""
    with reported():
        document = read_document(file)
        is_envelope = read_bytes(file).lstrip().startswith(b"{")
        envelope = read_envelope(signed or file) if signed is not None or is_envelope else None
        if envelope is not None and treaty_of(envelope).digest != document.digest:
            fail(f"treaty-not-pinned: expected {document.digest}, found {treaty_of(envelope).digest} in the envelope")
        state = _state(document, _before(document, previous), envelope)
        emit(_shown(document, state), _show_lines(document, state), form)
    if require_complete and not state.complete:
        raise typer.Exit(EXIT_INCOMPLETE)


def _shown(document: TreatyDocument, state: SigningState) -> dict[str, object]:
    return {
        "name": document.name,
        "version": document.version,
        "digest": document.digest,
        "effective_period": document.effective_period,
        "signatures": signing_json(state),
        "rules": [
            {"rule": r.rule, "severity": r.severity, "article": r.article, "parameters": r.parameters}
            for r in document.rules
        ],
        "witness_policies": {v.origin: _policy_text(document, v.origin) for v in document.verifiers},
        "document": document.to_json(),
    }


def _show_lines(document: TreatyDocument, state: SigningState) -> list[str]:
    lines = [
        f"{document.name} version {document.version}, from period {document.effective_period}",
        f"pin {document.digest}",
        "",
        "Signatures",
        *signing_lines(state),
        "",
        "Rules in force",
    ]
    for rule in document.rules:
        parameters = ", ".join(f"{name} = {value}" for name, value in rule.parameters.items())
        lines.append(f"  {rule.rule:<22} {rule.severity:<12} {rule.article}{f' ({parameters})' if parameters else ''}")
    for verifier in document.verifiers:
        lines += ["", f"Witness policy of {verifier.origin}"]
        lines += [f"  {line}" for line in _policy_text(document, verifier.origin).splitlines()]
    return lines


def _policy_text(document: TreatyDocument, origin: str) -> str:
    return document.witness_policy(origin).render()
