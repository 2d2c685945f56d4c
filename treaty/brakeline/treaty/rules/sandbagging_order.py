"""``sandbagging-order``: evaluations in the wrong order, and models that serve without one.

Sees: a result whose evaluator did not commit to the protocol before, for that model and that protocol; a model that
served more than the floor and that no valid result speaks of.
Cannot see: a model that hides what it can do; a protocol that asks the wrong questions; a seed that the evaluator knew
in spite of the protocol; inference that does not name its model (counted as unverifiable: ``model-absent``).
Arithmetic: *before* is by sequence in the evaluator's chain. A result is valid when the statement it names as
``commitment`` is a commitment of the same evaluator, model and protocol, with a smaller sequence. A model serves at a
site by the ``parents`` of inference lines; its FLOP there are the sum of the largest versions, as in ``threshold``. It
is due when the site's books have reached ``grace_periods`` after the first period at whose end that sum exceeds
``floor_flop``. Under a treaty that names no evaluator no model is asked for an evaluation.
Sealed: FLOP count for what is known of them (``flop-sealed``, ``line-sealed``).
Figures: ``reason`` (``no-commitment``, ``unknown``, ``another-author``, ``another-model``, ``another-protocol``,
``not-before``), ``evaluation``, ``commitment``: about the evaluator; or ``reason`` = ``never-evaluated``, ``model``,
``served_flop``, ``floor_flop``: about the site.
Keeps: commitments and results; per site and model its FLOP by period, in columns.
Source: pre-registration, and sealed seeds of proficiency tests (ISO/IEC 17043, 4.4).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple, cast

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.oversight import Evaluation
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.rules.books import Books, Said
from brakeline.treaty.rules.counted import Counted
from brakeline.treaty.rules.slots import Slots
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.statements import Activity
from brakeline.treaty.terms import RuleTerms


class _Told(NamedTuple):
    """One statement of an evaluator."""

    digest: str
    said: Evaluation


class _Passage(NamedTuple):
    """Where a model's service passed the floor: the period, FLOP up to its end, the newest books counted."""

    period: int
    flop: int
    cited: tuple[str, ...]


@dataclass(slots=True)
class _Service:
    """What a model served at a site."""

    flop: Slots
    total: int = 0
    passage: _Passage | None = None


class SandbaggingOrder:
    """Holds what evaluators said, and what served where."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *terms* (``floor_flop``, ``grace_periods``)."""
        self._counted = Counted(document)
        self._floor, self._grace = terms.integer("floor_flop"), terms.integer("grace_periods")
        self._terms = terms
        self._evaluators = any(item.kind == "evaluator" for item in document.third_parties)
        self._board = board
        self._told: dict[str, _Told] = {}
        self._resting_on: defaultdict[str, list[_Told]] = defaultdict(list)
        self._valid: defaultdict[str, set[str]] = defaultdict(set)
        self._services: defaultdict[str, dict[str, _Service]] = defaultdict(dict)
        self._sites_of: defaultdict[str, set[str]] = defaultdict(set)
        self._newest: dict[str, int] = {}

    def add(self, said: Said) -> None:
        """Take in what an evaluator says, or books that show what served."""
        predicate, books = said.predicate, said.books
        if books is not None:
            self._serve(books)
        elif isinstance(predicate, Evaluation):
            told = self._told[said.statement.digest] = _Told(said.statement.digest, predicate)
            if predicate.stage == "result":
                self._resting_on[predicate.commitment or ""].append(told)
                self._judge_result(told)
            for result in self._resting_on.get(told.digest, ()):
                self._judge_result(result)

    def supersede(self, slot: Slot) -> None:
        """Let a version of a site's books show no service."""
        for model, service in self._services.get(slot.site, {}).items():
            before = _largest(service, slot.period)
            if service.flop.drop(slot) is not None:
                service.total += _largest(service, slot.period) - before
                self._measure(slot.site, service)
                self._judge_service(slot.site, model)

    def _judge_result(self, result: _Told) -> None:
        reason = self._reason(result)
        finding = None
        if reason:
            commitment = result.said.commitment
            known = [commitment] if commitment is not None and commitment in self._told else []
            figures = {"reason": reason, "evaluation": result.digest, "commitment": commitment or "none"}
            finding = make(self._terms, result.said.author, statements=[result.digest, *known], figures=figures)
        self._board.put((self._terms.rule, result.digest), finding)
        valid, model = self._valid[result.said.model], result.said.model
        before = bool(valid)
        (valid.discard if reason else valid.add)(result.digest)
        if bool(valid) is not before:
            for site in self._sites_of.get(model, ()):
                self._judge_service(site, model)

    def _reason(self, result: _Told) -> str:
        """Say why *result* is not valid; "" when it is."""
        said = result.said
        if said.commitment is None:
            return "no-commitment"
        told = self._told.get(said.commitment)
        if told is None:
            return "unknown"
        before = told.said
        checks = (
            ("another-author", before.author == said.author),
            ("another-model", before.model == said.model),
            ("another-protocol", before.protocol == said.protocol),
            ("not-before", before.stage == "commit" and before.sequence < said.sequence),
        )
        return next((reason for reason, holds in checks if not holds), "")

    def _serve(self, books: Books) -> None:
        served: defaultdict[str, int] = defaultdict(int)
        self._board.unknown(self._terms.rule, books.site, "line-sealed", books.opaque)
        for line in books.lines:
            if line.activity is Activity.INFERENCE:
                if line.flop_sealed:
                    self._board.unknown(self._terms.rule, books.site, "flop-sealed")
                models = line.parents or ()
                if not models:
                    self._board.unknown(self._terms.rule, books.site, "model-absent")
                for model in models:
                    served[model] += self._counted.flop(line) or 0
        services = self._services[books.site]
        for model, flop in served.items():
            if not flop:
                continue
            service = services.get(model)
            if service is None:
                service = services[model] = _Service(Slots(self._board.columns))
                self._sites_of[model].add(books.site)
            before = _largest(service, books.period)
            service.flop.put(books.slot, (flop,))
            service.total += max(0, flop - before)
            if service.passage is None or service.passage.period >= books.period:
                self._measure(books.site, service)
        newest = self._newest.get(books.site, -1)
        self._newest[books.site] = max(newest, books.period)
        for model in services if books.period > newest else served:
            if model in services:
                self._judge_service(books.site, model)

    def _measure(self, site: str, service: _Service) -> None:
        """Find where the service passed the floor."""
        service.passage = None
        total = 0
        cited: list[str] = []
        for period, versions in service.flop.since(0) if service.total > self._floor else ():
            flop, digest = max(
                (cast("int", figures[0]), self._board.versions.digest(Slot(site, period, number)))
                for number, figures in versions.items()
            )
            total += flop
            cited.append(digest)
            if period >= self._board.since(self._terms.rule) and total > self._floor:
                service.passage = _Passage(period, total, tuple(cited[-MAX_CITED:]))
                return

    def _judge_service(self, site: str, model: str) -> None:
        passage = self._services[site][model].passage
        due = passage is not None and self._newest[site] >= passage.period + self._grace
        finding: Finding | None = None
        if passage is not None and due and self._evaluators and not self._valid.get(model):
            figures = {
                "reason": "never-evaluated",
                "model": model,
                "served_flop": passage.flop,
                "floor_flop": self._floor,
            }
            finding = make(self._terms, site, period=passage.period, statements=passage.cited, figures=figures)
        self._board.put((self._terms.rule, site, model), finding)


def _largest(service: _Service, period: int) -> int:
    return max((cast("int", figures[0]) for figures in service.flop.get(period).values()), default=0)
