"""Average run lengths of Page's test: periods until it cries wolf, periods until it sees a loss.

S <- max(0, S + x - k), signal when S > h, x normal with mean *shift* and deviation 1. The average run length from S = u
solves Page's integral equation (E. S. Page, Biometrika 41, 1954):

    L(u) = 1 + L(0) Phi(k - u - shift) + integral from 0 to h of L(y) phi(y + k - u - shift) dy

solved here by Gauss-Legendre quadrature at ``NODES`` points (A. L. Goel and S. M. Wu, *Determination of A.R.L. and a
contour nomogram for CUSUM charts to control normal mean*, Technometrics 13, 1971). The kernel is smooth, so 32 points
give more digits than anybody needs; tabulated values agree (h = 5, k = 0.5: 930.9 and 10.4; D. C. Montgomery,
*Introduction to Statistical Quality Control*, table 9.3, gives the two-sided half of the first, 465).
"""

from __future__ import annotations

import math

from brakeline.treaty.statistics.exploring.normal import Number, cumulative, density, number

NODES = 32
_MOST_SIGMAS = 40.0


def average_run_length(k: Number, h: Number, shift: Number = 0.0) -> float:
    """Return the average number of periods until the one-sided test, begun at S = 0, signals.

    Args:
        k: forgiven in every period, in sigmas, 0 to 40.
        h: the sum above which it signals, in sigmas, above 0 and at most 40.
        shift: mean of x in sigmas, -40 to 40; 0 is an honest site, so the result is its time between false alarms.

    Raises:
        StatisticsError: ``statistics-range``.

    >>> round(average_run_length(0.5, 4.0, 1.0), 2), round(average_run_length(0.5, 4.0))
    (8.38, 335)
    """
    k = number("k", k, 0.0, _MOST_SIGMAS)
    h = number("h", h, 0.0, _MOST_SIGMAS, open_ends=True)
    shift = number("shift", shift, -_MOST_SIGMAS, _MOST_SIGMAS)
    points = [(h * (node + 1.0) / 2.0, h * weight / 2.0) for node, weight in _gauss_legendre(NODES)]
    starts = [0.0, *(point for point, _ in points)]
    matrix = [[0.0] * (NODES + 1) for _ in starts]
    for row, start in enumerate(starts):
        drift = k - start - shift
        matrix[row][0] = -cumulative(drift)
        for column, (point, weight) in enumerate(points, start=1):
            matrix[row][column] = -weight * density(point + drift)
        matrix[row][row] += 1.0
    return _solve(matrix, [1.0] * len(starts))[0]


def interval_for(k: Number, run_length: Number) -> float:
    """Return the smallest h, within 1e-6, whose average run length at shift 0 is at least *run_length* periods.

    Raises:
        StatisticsError: ``statistics-range``; a run length above 1e9 is refused, as doubles no longer resolve it.
    """
    run_length = number("run_length", run_length, 1.0, 1e9)
    low, high = 0.0, 1.0
    while average_run_length(k, high) < run_length:
        low, high = high, number("h", high * 1.5, 0.0, _MOST_SIGMAS)
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        low, high = (middle, high) if average_run_length(k, middle) < run_length else (low, middle)
    return high


def _gauss_legendre(count: int) -> list[tuple[float, float]]:
    """Return nodes and weights on [-1, 1], by Newton's method on the Legendre polynomial."""
    found: list[tuple[float, float]] = []
    for index in range(count):
        x = math.cos(math.pi * (index + 0.75) / (count + 0.5))
        slope = 1.0
        for _ in range(100):
            value, slope = _legendre(count, x)
            step = value / slope
            x -= step
            if abs(step) < 1e-15:
                break
        _, slope = _legendre(count, x)
        found.append((x, 2.0 / ((1.0 - x * x) * slope * slope)))
    return found


def _legendre(degree: int, x: float) -> tuple[float, float]:
    """Return P_degree(x) and its derivative."""
    before, value = 1.0, x
    for n in range(2, degree + 1):
        before, value = value, ((2 * n - 1) * x * value - (n - 1) * before) / n
    return value, degree * (x * value - before) / (x * x - 1.0)


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve a small linear system by elimination with row pivots; changes its arguments."""
    size = len(right)
    for pivot in range(size):
        best = max(range(pivot, size), key=lambda row: abs(matrix[row][pivot]))
        matrix[pivot], matrix[best] = matrix[best], matrix[pivot]
        right[pivot], right[best] = right[best], right[pivot]
        for row in range(pivot + 1, size):
            factor = matrix[row][pivot] / matrix[pivot][pivot]
            right[row] -= factor * right[pivot]
            for column in range(pivot, size):
                matrix[row][column] -= factor * matrix[pivot][column]
    for row in reversed(range(size)):
        known = math.fsum(matrix[row][column] * right[column] for column in range(row + 1, size))
        right[row] = (right[row] - known) / matrix[row][row]
    return right
