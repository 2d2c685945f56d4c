"""Compare two designs of a treaty: what differs in the text, and what differs in the answers.

    python examples/explore_designs.py                       # a preset, and it with a lower line and a tighter test
    python examples/explore_designs.py eu-1e25 muf-k-permille=5 energy-gap-k-permille=10

Needs ``brakeline[explorer]``. Everything here is public: ``from brakeline.explorer import ...``.
"""

from __future__ import annotations

import sys

from brakeline.explorer import AnswerId, answer_all, difference, move, preset

QUESTIONS: tuple[AnswerId, ...] = ("caught", "accused", "pause", "burden")
TRIALS = 100


def main(words: list[str]) -> None:
    """Print the two designs side by side, question by question."""
    name, *moves = words or ["miri-draft", "line-prohibited=1e23", "energy-gap-k-permille=10"]
    before = preset(name)
    wanted = {term: float(value) for term, _, value in (text.partition("=") for text in moves)}
    after = before.under(move(before.treaty_text, wanted))
    for item in difference(before.document, after.document):
        print(f"{item.where}: {item.before} -> {item.after}")
    for old, new in zip(answer_all(before, QUESTIONS, TRIALS), answer_all(after, QUESTIONS, TRIALS), strict=True):
        print(f"\n{old.question}\n  before: {old.sentence}\n  after:  {new.sentence}")
        for figure in new.figures:
            was = old.figure(figure.id).value
            if was != figure.value:
                print(f"    {figure.name}: {was} -> {figure.value} {figure.unit} ({figure.grade})")


if __name__ == "__main__":
    main(sys.argv[1:])
