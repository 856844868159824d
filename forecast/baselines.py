"""The baselines that a forecast has to beat.

Each returns quantiles for each product and day, in the shape (products, days, quantiles).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import TSB, AutoETS, CrostonOptimized, SeasonalNaive

from forecast.metrics import pinball
from forecast.panel import QUANTILES, Panel

WINDOW_DAYS = 56  # eight weeks, for the moving window
FIT_DAYS = 182  # half a year is enough for models that decay, and limits the run time of AutoETS
ERROR_WINDOWS = 2  # past horizons whose errors give the quantiles of a method with point forecasts
TSB_DECAY = 0.1  # Teunter, Syntetos, Babai (2011), EJOR 214: between 0.05 and 0.2
DENSE = ("smooth", "erratic")  # classes for AutoETS; for the others, it is slow and no better than zero

Baseline = Callable[[Panel, int], np.ndarray]


def seasonal_naive(panel: Panel, days: int) -> np.ndarray:
    """Returns the units of the same weekday of the last week, with the quantiles of past errors."""
    return _with_errors(panel, days, SeasonalNaive(season_length=panel.season))


def moving_window(panel: Panel, days: int) -> np.ndarray:
    """Returns the quantiles of the last WINDOW_DAYS, or of the days since a product's first demand if that is later."""
    window = panel.recent(WINDOW_DAYS)
    before = window.days[None, :] < panel.first_days()[:, None]
    past = np.where(before, np.nan, window.units)
    found = np.nanquantile(past, QUANTILES, axis=1).T
    return np.repeat(found[:, None, :], days, axis=1)


def croston(panel: Panel, days: int) -> np.ndarray:
    """Returns the forecast of Croston's method with optimized smoothing, with the quantiles of past errors."""
    return _with_errors(panel, days, CrostonOptimized())


def tsb(panel: Panel, days: int) -> np.ndarray:
    """Returns the forecast of the Teunter-Syntetos-Babai variant of Croston's method, with quantiles of past errors."""
    return _with_errors(panel, days, TSB(alpha_d=TSB_DECAY, alpha_p=TSB_DECAY))


def auto_ets(panel: Panel, days: int) -> np.ndarray:
    """Returns the forecast of exponential smoothing with automatic model selection, with its own intervals.

    Products outside the classes DENSE, which are sold rarely, get the forecast of TSB.
    """
    found = tsb(panel, days)
    dense = np.isin(panel.classes(), DENSE)
    if dense.any():
        levels = sorted({round(abs(2 * q - 1) * 100) for q in QUANTILES} - {0})
        made = _fit(panel.of(dense), days, AutoETS(season_length=panel.season), levels)
        columns = [_column("AutoETS", q) for q in QUANTILES]
        found[dense] = np.maximum(made[columns].to_numpy().reshape(-1, days, len(QUANTILES)), 0)
    return found


BASELINES: Mapping[str, Baseline] = {
    "seasonal naive": seasonal_naive,
    "moving window": moving_window,
    "Croston": croston,
    "TSB": tsb,
    "AutoETS": auto_ets,
}
MEAN_OF_BEST = "mean of the best two"


def mean_of_best(found: Mapping[str, np.ndarray], losses: Mapping[str, float], count: int = 2) -> np.ndarray:
    """Returns the mean of the quantiles of the `count` baselines that were best at earlier origins.

    Args:
        found: forecasts by name.
        losses: losses at the earlier origins, by name.
        count: number of baselines.
    """
    best = sorted(losses, key=losses.__getitem__)[:count]
    return np.asarray(np.mean([found[name] for name in best], axis=0))


def _column(model: str, quantile: float) -> str:
    if quantile == 0.5:
        return model
    return f"{model}-{'hi' if quantile > 0.5 else 'lo'}-{round(abs(2 * quantile - 1) * 100)}"


def _fit(panel: Panel, days: int, model: object, levels: Sequence[int] = ()) -> pd.DataFrame:
    recent = panel.recent(FIT_DAYS)
    count = recent.units.shape[1]
    past = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(len(panel.products)), count),
            "ds": np.tile(np.arange(count), len(panel.products)),
            "y": recent.units.ravel(),
        }
    )
    made = StatsForecast(models=[model], freq=1, n_jobs=1).forecast(df=past, h=days, level=list(levels) or None)
    return made.sort_values(["unique_id", "ds"], ignore_index=True)


def _point(panel: Panel, days: int, model: object) -> np.ndarray:
    return np.asarray(_fit(panel, days, model).iloc[:, 2].to_numpy().reshape(-1, days), dtype=float)


def _with_errors(panel: Panel, days: int, model: object) -> np.ndarray:
    """Returns the point forecast plus the quantiles of its errors at earlier origins."""
    point = _point(panel, days, model)
    errors = []
    for window in range(1, ERROR_WINDOWS + 1):
        cut = panel.units.shape[1] - window * days
        if cut < 2 * panel.season:
            break
        before = Panel(panel.products, panel.days[:cut], panel.units[:, :cut], panel.revenue[:, :cut], panel.season)
        errors.append(panel.units[:, cut : cut + days] - _point(before, days, model))
    missed = np.concatenate(errors, axis=1) if errors else np.zeros_like(point)
    return np.asarray(np.maximum(point[:, :, None] + np.quantile(missed, QUANTILES, axis=1).T[:, None, :], 0))


def losses(actual: np.ndarray, found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns the mean pinball loss by method, in units."""
    return {name: float(pinball(actual, forecast).mean()) for name, forecast in found.items()}
