"""Material unaccounted for, on chip-hours: what a balance with measurement error can see, and what it cannot.

A balance of one period, or of all, has a standard deviation sigma; it alarms above z_(1-alpha) sigma. A loss M is seen
with P = Phi(M/sigma - z_(1-alpha)) (R. Avenhaus and M. J. Canty, *Compliance Quantified*, 1996, ch. 5).

The consequence to show, not to hide: 16,384 H100 for 30 days can do 4.2e25 FLOP. With a sigma of 1 % of that,
:func:`smallest_loss_seen` at alpha = 5 % and P = 95 % is 1.4e24 FLOP: bulk accounting alone cannot guard a threshold
below that. Counting items and containing them must.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from brakeline.treaty.statistics.bounds import StatisticsError
from brakeline.treaty.statistics.exploring.normal import Number, cumulative, number, quantile

_HUGE = 1e300


def loss_seen(loss: Number, sigma: Number, false_alarm: Number) -> float:
    """Return P = Phi(M/sigma - z_(1-alpha)).

    Args:
        loss: M, in any unit, 0 or more.
        sigma: standard deviation of the balance, in the same unit, above 0.
        false_alarm: alpha, in (0, 1).

    Raises:
        StatisticsError: ``statistics-range``.

    >>> round(loss_seen(3.0, 1.0, 0.05), 3)
    0.912
    """
    loss = number("loss", loss, 0.0, _HUGE)
    sigma = number("sigma", sigma, 0.0, _HUGE, open_ends=True)
    false_alarm = number("false_alarm", false_alarm, 0.0, 1.0, open_ends=True)
    return cumulative(loss / sigma - quantile(1.0 - false_alarm))


def smallest_loss_seen(sigma: Number, false_alarm: Number, detection: Number) -> float:
    """Return M = (z_(1-alpha) + z_P) sigma, the loss seen with probability *detection*; in the unit of *sigma*.

    >>> round(smallest_loss_seen(1.0, 0.05, 0.95), 2)
    3.29
    """
    sigma = number("sigma", sigma, 0.0, _HUGE, open_ends=True)
    false_alarm = number("false_alarm", false_alarm, 0.0, 1.0, open_ends=True)
    detection = number("detection", detection, 0.0, 1.0, open_ends=True)
    return (quantile(1.0 - false_alarm) + quantile(detection)) * sigma


def sitmuf(balances: Sequence[float], covariance: Sequence[Sequence[float]]) -> list[float]:
    """Return the standardised independent balances: L^-1 x, where L L^T is the covariance of the balances x.

    Balances of neighbouring periods share an inventory, so they are correlated; these are not, and each has variance 1.
    Source: R. R. Picard, *Sequential analysis of materials balances*, Nuclear Materials Management 15(2), 1987.

    Args:
        balances: x, one for each period.
        covariance: symmetric and positive definite, of the same size.

    Raises:
        StatisticsError: ``statistics-range`` when the sizes differ or the matrix is no covariance.
    """
    lower = _cholesky(balances, covariance)
    independent: list[float] = []
    for row, balance in enumerate(balances):
        known = math.fsum(lower[row][column] * independent[column] for column in range(row))
        independent.append((balance - known) / lower[row][row])
    return independent


def gemuf(balances: Sequence[float], covariance: Sequence[Sequence[float]]) -> float:
    """Return x^T C^-1 x, large when the balances do not look like noise, whatever the pattern of the loss.

    Chi-squared with one degree of freedom per period when nothing is lost. Source: R. Seifert, *The GEMUF test: a new
    sequential test for detecting loss of material*, IAEA-SM-293/130, 1987.

    Raises:
        StatisticsError: as :func:`sitmuf`.
    """
    return math.fsum(value * value for value in sitmuf(balances, covariance))


def _cholesky(balances: Sequence[float], covariance: Sequence[Sequence[float]]) -> list[list[float]]:
    size = len(balances)
    if len(covariance) != size or any(len(row) != size for row in covariance):
        raise _no_covariance("a matrix of another size than the balances")
    lower = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            if not math.isclose(covariance[i][j], covariance[j][i], rel_tol=1e-9, abs_tol=1e-12):
                raise _no_covariance(f"no symmetry at {i}, {j}")
            rest = covariance[i][j] - math.fsum(lower[i][k] * lower[j][k] for k in range(j))
            if i == j and not rest > 0.0:
                raise _no_covariance(f"a variance of {rest!r} at {i}")
            lower[i][j] = math.sqrt(rest) if i == j else rest / lower[j][j]
    return lower


def _no_covariance(found: str) -> StatisticsError:
    return StatisticsError(
        code="statistics-range",
        message="this is no covariance of these balances",
        expected="a symmetric, positive definite matrix, one row for each balance",
        found=found,
    )
