r"""Where in a TOML text each key stands: the line numbers that a negotiator's mistakes are reported by.

``tomllib`` reads TOML strictly and keeps no positions; libraries that keep them are large. This module is the missing
half: given a text that ``tomllib`` has *accepted*, it walks the same text once and notes the line of every key. It
decides nothing about validity and builds no values, so a slip here can misplace a line, never change a treaty.

>>> lines = locate('version = 1\n[[party]]\nname = "a.example"\n[[party]]\n# the other\nname = "b.example"\n')
>>> lines.of(("party", 1, "name")), lines.of(("party", 1)), lines.of(("party", 1, "key")), lines.of(())
(6, 4, 4, 1)
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass
from typing import TypeAlias, cast

Path: TypeAlias = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_SCALAR = re.compile(r"[^,\]}#\n]*")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_BASIC_BLOCK = re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL)
_LITERAL_BLOCK = re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL)
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")


@dataclass(frozen=True, slots=True)
class Lines:
    """Line numbers, counted from 1, by path.

    Attributes:
        lines: every key, table and list item that was written, to the line where it begins.
    """

    lines: dict[Path, int]

    def of(self, path: Path) -> int:
        """Return the line of *path*, or of the nearest table or list around it that was written."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


def locate(text: str) -> Lines:
    """Return the lines of every key of *text*, which ``tomllib.loads`` must have accepted."""
    return Lines(_Walk(text).run())


class _Walk:
    """One pass over a valid TOML text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, int] = {(): 1}
        self.items: dict[Path, int] = {}  # lists of tables: how many items each has so far
        self.newlines = [match.start() for match in re.finditer("\n", text)]

    def run(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(_BLANK) < len(self.text):
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
        return self.found

    def _header(self) -> Path:
        line = self._line()
        listed = self.text.startswith("[[", self.at)
        self.at += 2 if listed else 1
        path: Path = ()
        keys = self._keys()
        for depth, key in enumerate(keys):
            path = _step(path, key)
            if listed and depth == len(keys) - 1:
                self.items[path] = self.items.get(path, 0) + 1
            self.found.setdefault(path, line)
            if path in self.items:
                path = _step(path, self.items[path] - 1)
                self.found.setdefault(path, line)
        self.at += 2 if listed else 1
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self.found.setdefault(path, line)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _keys(self) -> list[str]:
        """Read a dotted key up to the ``=`` or ``]`` that ends it."""
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            for form in (_BARE_KEY, _BASIC, _LITERAL):
                match = form.match(self.text, self.at)
                if match:
                    keys.append(_unquote(match.group()))
                    self.at = match.end()
                    break
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _value(self, path: Path) -> None:
        if self.text.startswith("[", self.at):
            self._list(path)
        elif self.text.startswith("{", self.at):
            self._inline(path)
        else:
            for form in (_BASIC_BLOCK, _LITERAL_BLOCK, _BASIC, _LITERAL, _SCALAR):
                match = form.match(self.text, self.at)
                if match:
                    self.at = match.end()
                    return

    def _list(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self._skip(_BLANK) < len(self.text) and not self.text.startswith("]", self.at):
            if self.text.startswith(",", self.at):
                self.at += 1
                continue
            self.found.setdefault((*path, index), self._line())
            self._value((*path, index))
            index += 1
        self.at += 1

    def _inline(self, path: Path) -> None:
        self.at += 1
        while self._skip(_BLANK) < len(self.text) and not self.text.startswith("}", self.at):
            if self.text.startswith(",", self.at):
                self.at += 1
                continue
            self._pair(path)
        self.at += 1

    def _skip(self, form: re.Pattern[str]) -> int:
        match = form.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def _line(self) -> int:
        return bisect_right(self.newlines, self.at - 1) + 1


def _step(path: Path, step: str | int) -> Path:
    return (*path, step)


def _unquote(key: str) -> str:
    if key[0] not in "\"'":
        return key
    return cast("dict[str, str]", tomllib.loads(f"k = {key}"))["k"]
