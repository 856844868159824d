"""Metrics of quantile forecasts.

Forecasts have the shape (products, days, quantiles), actual units the shape (products, days).
"""

from __future__ import annotations

import numpy as np

from forecast.panel import QUANTILES

MEDIAN = QUANTILES.index(0.5)


def pinball(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Returns the pinball loss of each product in units, as the mean over days and quantiles; shape (n,).

    Koenker, Bassett (1978), Regression Quantiles: max(q (y - f), (q - 1) (y - f)).
    """
    error = actual[:, :, None] - forecast
    level = np.asarray(QUANTILES)
    return np.asarray(np.maximum(level * error, (level - 1) * error).mean(axis=(1, 2)))


def scale(past: np.ndarray) -> np.ndarray:
    """Returns the denominator of RMSSE for each product; shape (n,).

    It is the mean squared difference between consecutive days since the product's first demand.
    """
    since = np.arange(past.shape[1] - 1) >= np.argmax(past > 0, axis=1)[:, None]
    steps = np.where(since, np.diff(past, axis=1) ** 2, 0)
    return np.asarray(steps.sum(axis=1) / np.maximum(since.sum(axis=1), 1))


def rmsse(actual: np.ndarray, forecast: np.ndarray, past: np.ndarray, revenue: np.ndarray) -> float:
    """Returns the root mean squared scaled error of the medians, weighted by revenue.

    Makridakis, Spiliotis, Assimakopoulos (2022), M5 accuracy competition, IJF 38. A product whose units never changed
    in the past is excluded.

    Args:
        actual: units of the days after the origin; shape (n, days).
        forecast: forecast of these days; shape (n, days, quantiles).
        past: units of the days before the origin; shape (n, t).
        revenue: revenue of the last 28 days before the origin; shape (n,).
    """
    steps = scale(past)
    usable = steps > 0
    squared = ((actual - forecast[:, :, MEDIAN]) ** 2).mean(axis=1)[usable] / steps[usable]
    weight = revenue[usable] / max(revenue[usable].sum(), 1e-9)
    return float((np.sqrt(squared) * weight).sum())


def coverage(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Returns the share of days whose units are between the lowest and the highest quantile, both included."""
    return float(((actual >= forecast[:, :, 0]) & (actual <= forecast[:, :, -1])).mean())
