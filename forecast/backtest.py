"""Comparison of forecast methods at past origins, and the choice of one method for each class of products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from forecast.baselines import BASELINES, MEAN_OF_BEST, losses, mean_of_best
from forecast.metrics import coverage, pinball, rmsse
from forecast.panel import CLASSES, HORIZON_DAYS, Panel, closed, horizon

NETWORK = "network"
NAIVE = "seasonal naive"
FALLBACK = "moving window"  # used if no methods could be compared
DRIFT_FACTOR = 1.5  # limit for the loss per unit sold, relative to that of the folds

Method = Callable[[Panel], np.ndarray]


@dataclass(frozen=True)
class Fold:
    """The forecasts at one origin and the actual units after it.

    Attributes:
        origin: the first day of the forecast; the methods know only the days before it.
        past: the data that the methods received; all its products are active.
        actual: actual units; shape (n, days).
        forecasts: forecasts by method; shape (n, days, quantiles).
        classes: class of each product; shape (n,).
    """

    origin: np.datetime64
    past: Panel
    actual: np.ndarray
    forecasts: dict[str, np.ndarray]
    classes: np.ndarray

    def by_class(self, method: str) -> dict[str, tuple[float, int]]:
        """Returns (sum of the products' pinball losses, number of products) by class."""
        lost = pinball(self.actual, self.forecasts[method])
        return {c: (float(lost[self.classes == c].sum()), int((self.classes == c).sum())) for c in CLASSES}

    def losses(self) -> dict[str, float]:
        """Returns the mean pinball loss by method, in units per day and product."""
        return losses(self.actual, self.forecasts)

    def scores(self, method: str) -> dict[str, float]:
        """Returns the metrics of one method."""
        forecast = self.forecasts[method]
        revenue = self.past.recent(HORIZON_DAYS).revenue.sum(axis=1)
        return {
            "pinball": float(pinball(self.actual, forecast).mean()),
            "coverage": coverage(self.actual, forecast),
            "rmsse": rmsse(self.actual, forecast, self.past.units, revenue),
        }


def origins(panel: Panel, count: int) -> list[np.datetime64]:
    """Returns the last `count` origins with a whole horizon after them, one horizon apart, the earliest first."""
    return [panel.end - HORIZON_DAYS * back for back in range(count, 0, -1)]


def open_days_only(forecast: np.ndarray, past: Panel, country: str) -> np.ndarray:
    """Returns the forecast of the days after the panel, with zero on public holidays on which the shop is closed."""
    found = forecast.copy()
    found[:, closed(past, horizon(past), country)[: forecast.shape[1]]] = 0
    return found


def fold(
    panel: Panel, origin: np.datetime64, methods: Mapping[str, Method], days: int = HORIZON_DAYS, country: str = ""
) -> Fold:
    """Returns the forecasts of the methods at the origin. The methods receive only the data before the origin.

    Args:
        panel: the demand.
        origin: the first day of the forecast.
        methods: the methods by name.
        days: number of calendar days to compare; the methods forecast their whole horizon.
        country: country whose public holidays are known beforehand, to all methods alike.
    """
    known = panel.until(origin)
    past = known.of(known.active())
    actual = _following(panel, past, days)
    forecasts = {
        name: open_days_only(method(past), past, country)[:, : actual.shape[1]] for name, method in methods.items()
    }
    return Fold(origin, past, actual, forecasts, past.classes())


def _following(panel: Panel, past: Panel, days: int) -> np.ndarray:
    rows = np.searchsorted(panel.products, past.products)
    ahead = horizon(past, days)
    at = np.searchsorted(panel.days, ahead).clip(max=len(panel.days) - 1)
    # A day that is missing in the panel is a day on which the shop was closed.
    return np.where(panel.days[at] == ahead, panel.units[np.ix_(rows, at)], 0)


def baselines() -> dict[str, Method]:
    """Returns the baselines as methods. They forecast whole units, because people buy whole units."""

    def whole(name: str) -> Method:
        return lambda past: np.rint(BASELINES[name](past, len(horizon(past))))

    return {name: whole(name) for name in BASELINES}


def add_mean_of_best(folds: Sequence[Fold]) -> None:
    """Adds to each fold the mean of the baselines that were best at earlier origins, at the first one the fallback."""
    for place, now in enumerate(folds):
        past = {name: sum(before.losses()[name] for before in folds[:place]) for name in BASELINES}
        chosen = past if place else {FALLBACK: 0.0}
        now.forecasts[MEAN_OF_BEST] = np.rint(mean_of_best(now.forecasts, chosen))


def winners(folds: Sequence[Fold], methods: Sequence[str]) -> dict[str, str]:
    """Returns the method with the least pinball loss at the origins, by class.

    A class without products has the fallback. The seasonal naive is among the methods, so no chosen method was worse.
    """
    found = {}
    for name in CLASSES:
        total = {method: sum(f.by_class(method)[name][0] for f in folds) for method in methods}
        seen = sum(f.by_class(methods[0])[name][1] for f in folds)
        found[name] = min(total, key=total.__getitem__) if seen else FALLBACK
    return found


def chosen(forecasts: Mapping[str, np.ndarray], classes: np.ndarray, by_class: Mapping[str, str]) -> np.ndarray:
    """Returns the forecast of each product by the method of its class."""
    found = np.empty_like(next(iter(forecasts.values())))
    for name, method in by_class.items():
        found[classes == name] = forecasts[method][classes == name]
    return found


def drift(folds: Sequence[Fold], last_week: Fold, by_class: Mapping[str, str]) -> tuple[float, float]:
    """Returns the loss per unit sold of the chosen methods, in the last week and as the mean of the folds."""

    def relative(each: Fold) -> float:
        lost = pinball(each.actual, chosen(each.forecasts, each.classes, by_class)).mean()
        return float(lost / max(each.actual.mean(), 1e-9))

    return relative(last_week), float(np.mean([relative(each) for each in folds]))
