"""Quantities as exact types that cannot be mixed up.

FLOP, chip-milliseconds, joules and tokens are unbounded non-negative integers (on the wire always decimal strings
``0|[1-9][0-9]*``, at most 40 digits); instants and durations are Unix milliseconds (on the wire JSON integers).
Adding FLOP to joules is a ``TypeError``; taking more than there is raises ``quantity-negative``. No float appears in
this module, nor may one in anything that a finding rests on.

>>> Flop(3) + Flop(4)
Flop(7)
>>> ChipMs.parse("1200").value
1200
>>> Grid(start=InstantMs(1000), period=DurationMs(500)).period_of(InstantMs(1999))
1
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from brakeline.treaty.errors import QuantityError
from pydantic_core import core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import GetCoreSchemaHandler

MAX_DIGITS = 40
"""Digits of a decimal quantity: 10^40 FLOP is beyond any conceivable run, and bounds all arithmetic."""

MAX_INSTANT = 2**53 - 1
_Q = TypeVar("_Q", bound="_Quantity")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,39}", re.ASCII)


@total_ordering
class _Quantity:
    """A non-negative integer of one unit. Subclasses name the unit; instances of two subclasses never combine."""

    __slots__ = ("value",)
    unit: ClassVar[str] = ""
    value: int

    def __init__(self, value: int) -> None:
        if type(value) is not int:
            raise TypeError(f"{type(self).__name__} takes an int, not {type(value).__name__}")
        if value < 0:
            raise QuantityError(
                code="quantity-negative",
                message=f"{self.unit} cannot be negative",
                expected="0 or more",
                found=str(value),
            )
        object.__setattr__(self, "value", value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __reduce__(self) -> tuple[type[Self], tuple[int]]:
        return type(self), (self.value,)

    @classmethod
    def total(cls, items: Iterable[Self]) -> Self:
        """Return the sum of *items*; zero when there are none."""
        return cls(sum(item.value for item in items))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.value + self._same(other))

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.value - self._same(other))

    def __mul__(self, factor: int) -> Self:
        if type(factor) is not int:
            return NotImplemented
        return type(self)(self.value * factor)

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.value == other.value

    def __lt__(self, other: Self) -> bool:
        return self.value < self._same(other)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.value))

    def __bool__(self) -> bool:
        return self.value != 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value})"

    def __str__(self) -> str:
        return str(self.value)

    def _same(self, other: _Quantity) -> int:
        if type(other) is not type(self):
            raise TypeError(f"{type(self).__name__} and {type(other).__name__} do not combine")
        return other.value


class _Decimal(_Quantity):
    """A quantity that is a decimal string on the wire."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the quantity that *text* writes.

        Raises:
            QuantityError: ``quantity-malformed`` (sign, leading zero, white space, underscore, non-ASCII digit, more
                than 40 digits, not a string).
        """
        if isinstance(text, cls):
            return text
        if isinstance(text, str) and _DECIMAL.fullmatch(text):
            return cls(int(text))
        raise QuantityError(
            code="quantity-malformed",
            message=f"this does not write a number of {cls.unit}",
            expected='a decimal string such as "1200", without sign, leading zero or separator, at most 40 digits',
            found=repr(text)[:60],
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: _as_value_error(cls.parse, value),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, str]:
        return {"type": "string", "pattern": "^(0|[1-9][0-9]{0,39})$", "description": cls.unit}


class _Millis(_Quantity):
    """A quantity that is a JSON integer of milliseconds on the wire."""

    __slots__ = ()

    def __init__(self, value: int) -> None:
        super().__init__(value)
        if value > MAX_INSTANT:
            raise QuantityError(
                code="quantity-range", message=f"{self.unit} out of range", expected="below 2^53", found=str(value)[:30]
            )

    @classmethod
    def parse(cls, number: object) -> Self:
        """Return the quantity that the JSON integer *number* writes (``quantity-malformed`` otherwise)."""
        if isinstance(number, cls):
            return number
        if type(number) is int:
            return cls(number)
        raise QuantityError(
            code="quantity-malformed",
            message=f"this does not write {cls.unit}",
            expected="an integer of milliseconds",
            found=repr(number)[:60],
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: _as_value_error(cls.parse, value),
            serialization=core_schema.plain_serializer_function_ser_schema(_millis),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, str | int]:
        return {"type": "integer", "minimum": 0, "maximum": MAX_INSTANT, "description": cls.unit}


class Flop(_Decimal):
    """Floating-point operations (a count, never a rate)."""

    __slots__ = ()
    unit: ClassVar[str] = "FLOP"


class ChipMs(_Decimal):
    """Chip-milliseconds: one chip held for one millisecond."""

    __slots__ = ()
    unit: ClassVar[str] = "chip-milliseconds"


class Joules(_Decimal):
    """Joules of energy."""

    __slots__ = ()
    unit: ClassVar[str] = "joules"


class Tokens(_Decimal):
    """Tokens processed."""

    __slots__ = ()
    unit: ClassVar[str] = "tokens"


class DurationMs(_Millis):
    """A length of time in milliseconds."""

    __slots__ = ()
    unit: ClassVar[str] = "a duration in milliseconds"


class InstantMs(_Millis):
    """A moment in Unix milliseconds. An instant plus a duration is an instant; two instants do not add."""

    __slots__ = ()
    unit: ClassVar[str] = "an instant in Unix milliseconds"

    def after(self, duration: DurationMs) -> InstantMs:
        """Return the instant *duration* later."""
        return InstantMs(self.value + duration.value)


@dataclass(frozen=True, slots=True)
class Rational:
    """An exact non-negative ratio, such as a margin or a PUE. Never reduced, never a float."""

    numerator: int
    denominator: int

    def __post_init__(self) -> None:
        if self.numerator < 0 or self.denominator < 1:
            raise QuantityError(
                code="quantity-rational",
                message="not a ratio of this protocol",
                expected="numerator >= 0 and denominator >= 1",
                found=f"{self.numerator}/{self.denominator}",
            )

    def exceeds(self, a: int, b: int) -> bool:
        """Say whether a > b x this ratio, exactly."""
        return a * self.denominator > b * self.numerator


@dataclass(frozen=True, slots=True)
class Grid:
    """The period grid of a treaty: period p is [start + p x period, start + (p + 1) x period)."""

    start: InstantMs
    period: DurationMs

    def start_of(self, period: int) -> InstantMs:
        """Return the first instant of *period* (an index from 0)."""
        return InstantMs(self.start.value + period * self.period.value)

    def end_of(self, period: int) -> InstantMs:
        """Return the first instant after *period*."""
        return self.start_of(period + 1)

    def period_of(self, instant: InstantMs) -> int:
        """Return the index of the period that holds *instant*; negative before the grid starts."""
        return (instant.value - self.start.value) // self.period.value

    def index_of(self, start: InstantMs, end: InstantMs) -> int | None:
        """Return the period whose bounds are exactly [start, end), or None when they are not on the grid."""
        return self.index_from(start.value, end.value)

    def index_from(self, start_ms: int, end_ms: int) -> int | None:
        """Return what :meth:`index_of` does, of instants in Unix milliseconds."""
        index, rest = divmod(start_ms - self.start.value, self.period.value)
        if rest or index < 0 or end_ms - start_ms != self.period.value:
            return None
        return index

    def first_from(self, instant: InstantMs) -> int:
        """Return the first period that starts at *instant* or later, never below 0."""
        return max(0, -((self.start.value - instant.value) // self.period.value))


def _millis(value: _Millis) -> int:
    return value.value


def _as_value_error(parse: Callable[[object], _Q], value: object) -> _Q:
    """Run *parse* for pydantic, which turns a ValueError, and only that, into its own report."""
    try:
        return parse(value)
    except QuantityError as error:
        raise ValueError(str(error)) from None
