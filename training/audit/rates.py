"""A count out of a total as a rate per 100, with an interval that says how far the count can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import binomtest

CONFIDENCE = 0.95
#: What an interval is called.
INTERVAL = f"{100 * CONFIDENCE:.0f} % interval"


@dataclass(frozen=True)
class Rate:
    """`count` of `total` parts; nothing is known about the rate if `total` is 0."""

    count: int
    total: int

    @property
    def known(self) -> bool:
        """Whether there was any part."""
        return self.total > 0

    @property
    def per_100(self) -> float:
        """The observed rate."""
        return 100 * self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Return the exact (Clopper-Pearson) interval of the rate per 100.

        It covers the true rate in at least `CONFIDENCE` of all repetitions, for independent parts, and also where none
        or all were counted: for 0 of n its upper end is close to 370 / n.
        """
        found = binomtest(self.count, self.total).proportion_ci(CONFIDENCE, method="exact")
        return 100 * float(found.low), 100 * float(found.high)

    @property
    def width(self) -> float:
        """The width of the interval, in parts per 100."""
        low, high = self.interval
        return high - low

    @property
    def number(self) -> str:
        """`4.5`, or `unknown`."""
        return _rounded(self.per_100) if self.known else "unknown"

    @property
    def between(self) -> str:
        """`2.3 to 7.7`."""
        return " to ".join(map(_rounded, self.interval)) if self.known else ""

    @property
    def counts(self) -> str:
        """`12 of 269`."""
        return f"{self.count:,} of {self.total:,}" if self.known else "none"


def _rounded(value: float) -> str:
    """Return one decimal; for less than 1, two digits that count: 1 of 5,000 is not 0.0."""
    return f"{value:.1f}" if value >= 0.95 or value == 0 else f"{value:.2g}"
