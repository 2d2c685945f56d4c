"""Put an implementation to the cases: the command contract.

The program is started once. For each case it gets one line of JSON on standard input, ``{"kind": ..., "input": ...}``,
and answers with one line, ``{"answer": word}``: "" for what is right, the word for what is wrong, ``unsupported`` for a
kind that it does not implement. It ends at the end of its input. Words are those of docs/spec/conformance/README.md.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from brakeline.audit.conformance.amended import amended_cases
from brakeline.audit.conformance.answers import UNSUPPORTED, answer
from brakeline.audit.conformance.case import Case
from brakeline.audit.conformance.forms import form_cases
from brakeline.audit.conformance.logs import log_cases
from brakeline.audit.conformance.said import said_cases
from brakeline.audit.conformance.sealed import sealed_cases
from brakeline.audit.story import Story
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.strictjson import parse_any

MAX_ANSWER = 4096
MAX_QUESTION = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answered:
    """A case and what the program said."""

    case: Case
    said: str

    @property
    def right(self) -> bool:
        """Whether it is the answer."""
        return self.said == self.case.expect

    @property
    def skipped(self) -> bool:
        """Whether the program does not implement this kind."""
        return self.said == UNSUPPORTED


def all_cases() -> list[Case]:
    """Return every case, made anew from the story (always the same bytes), in order of name."""
    story = Story()
    cases = [*form_cases(story), *said_cases(story), *sealed_cases(story), *log_cases(story), *amended_cases(story)]
    return sorted(cases, key=lambda case: case.name)


def conform(command: Sequence[str], cases: Iterable[Case]) -> Iterator[Answered]:
    """Start *command* and put it to *cases*.

    Raises:
        BrakelineError: ``conform-ended``, ``conform-answer``: the program does not keep to the contract.
    """
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        if program.stdin is None or program.stdout is None:
            raise ValueError("a pipe was asked for")
        try:
            for case in cases:
                question = {"kind": case.kind, "input": case.given}
                yield Answered(case, _ask(program.stdin, program.stdout, question, case.name))
        finally:
            program.stdin.close()


def _ask(question: IO[bytes], answers: IO[bytes], value: object, name: str) -> str:
    try:
        question.write(json.dumps(value).encode("ascii") + b"\n")
        question.flush()
    except BrokenPipeError:
        raise _broken("conform-ended", name, "the program has ended") from None
    line = answers.readline(MAX_ANSWER + 1)
    if not line:
        raise _broken("conform-ended", name, "the program has ended")
    try:
        said = parse_any(line.strip(), max_bytes=MAX_ANSWER)
    except BrakelineError:
        said = None
    word = said.get("answer") if isinstance(said, dict) else None
    if not isinstance(word, str):
        raise _broken("conform-answer", name, ascii(line[:80]))
    return word


def serve_answers(questions: Iterable[bytes], out: IO[str]) -> None:
    """Answer as this implementation does: the other side of the contract."""
    for line in questions:
        value = parse_any(line.strip(), max_bytes=MAX_QUESTION)
        kind, given = (value.get("kind"), value.get("input")) if isinstance(value, dict) else (None, None)
        word = answer(kind, given) if isinstance(kind, str) and isinstance(given, dict) else UNSUPPORTED
        out.write(json.dumps({"answer": word}) + "\n")
        out.flush()


def _broken(code: str, name: str, found: str) -> BrakelineError:
    return BrakelineError(
        code=code,
        message=f"the program did not answer the case {name}",
        expected='one line {"answer": "..."} for each line of input',
        found=found,
        fix="docs/spec/conformance/README.md has the contract",
    )
