"""Stock control by forecasts: reorder points from quantiles, and a simulation of past weeks under a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from forecast.panel import QUANTILES

DRAWS = 500


def sums(quantiles: np.ndarray, draws: int = DRAWS, seed: int = 1) -> np.ndarray:
    """Returns draws of the total demand over all days; shape (products, draws), sorted.

    The days are drawn independently of each other. The distribution is linear between quantiles and from zero to the
    lowest quantile. Above the highest quantile, it falls off exponentially, at the rate between the last two quantiles.

    Args:
        quantiles: quantiles of each day; shape (products, days, quantiles).
        draws: number of draws.
        seed: seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    levels = np.asarray(QUANTILES)
    total = np.zeros((quantiles.shape[0], draws))
    for day in range(quantiles.shape[1]):
        chance = rng.random(draws)  # the same for each product, because products are compared, not added
        at = np.searchsorted(levels, chance)
        inside = (at > 0) & (at < len(levels))
        low, high = (at - 1).clip(0, len(levels) - 2), at.clip(1, len(levels) - 1)
        part = (chance - levels[low]) / (levels[high] - levels[low])
        q = quantiles[:, day]
        drawn = q[:, low] + (q[:, high] - q[:, low]) * part
        tail = q[:, -1:] + (q[:, -1:] - q[:, -2:-1]) * np.log((1 - levels[-1]) / (1 - chance)) / np.log(
            (1 - levels[-2]) / (1 - levels[-1])
        )
        drawn = np.where(inside, drawn, np.where(at == 0, q[:, :1] * chance / levels[0], tail))
        total += drawn
    ordered: np.ndarray = np.sort(total, axis=1)
    return ordered


def at_level(drawn: np.ndarray, level: float | np.ndarray) -> np.ndarray:
    """Returns the whole units that meet the demand with the probability `level`; shape (products,).

    Args:
        drawn: draws of the demand, as from `sums`.
        level: one probability, or one per product.
    """
    place = np.ceil(np.broadcast_to(level, drawn.shape[0]) * drawn.shape[1]).astype(int) - 1
    return np.asarray(np.ceil(np.round(drawn[np.arange(drawn.shape[0]), place.clip(0, drawn.shape[1] - 1)], 6)))


@dataclass(frozen=True)
class Replenishment:
    """The parameters of ordering.

    Attributes:
        lead_days: days from an order to its arrival, by class.
        service_levels: probability that the stock lasts until an order arrives, by class.
        review_days: days between two reviews of the stock.
    """

    lead_days: Mapping[str, int]
    service_levels: Mapping[str, float]
    review_days: int = 7


@dataclass(frozen=True)
class Levels:
    """The order levels of each product, in units except `lead_days` and `service_level`; shape (n,) each."""

    lead_days: np.ndarray
    service_level: np.ndarray
    expected: np.ndarray
    reorder_point: np.ndarray
    order_up_to: np.ndarray


def levels(
    quantiles: np.ndarray, dates: np.ndarray, origin: np.datetime64, classes: np.ndarray, how: Replenishment
) -> Levels:
    """Returns the reorder point and the order-up-to level of each product.

    The reorder point is the quantile of the demand until an order of today arrives. The order-up-to level is the
    quantile of the demand until an order of the next review arrives, and at least the reorder point.

    Args:
        quantiles: quantiles of the open days `dates`; shape (n, days, quantiles).
        dates: the open days; shape (days,).
        origin: the first day of the forecast.
        classes: class of each product; shape (n,).
        how: the parameters of ordering.
    """
    count = len(classes)
    lead = np.array([how.lead_days[name] for name in classes], dtype=int)
    service = np.array([how.service_levels[name] for name in classes])
    expected, point, up_to = (np.zeros(count) for _ in range(3))
    for days in np.unique(lead):
        rows = np.flatnonzero(lead == days)
        until_arrival = dates < origin + days
        until_next = dates < origin + days + how.review_days
        drawn = sums(quantiles[rows][:, until_arrival])
        expected[rows] = drawn.mean(axis=1)
        point[rows] = at_level(drawn, service[rows])
        up_to[rows] = at_level(sums(quantiles[rows][:, until_next]), service[rows])
    return Levels(lead, service, expected, point, np.maximum(up_to, point))


@dataclass(frozen=True)
class Outcome:
    """The outcome of a policy.

    Attributes:
        stock: mean stock over the days, in units of all products.
        sold_share: share of the demand that was sold.
        out_share: share of the product days with demand on which the stock did not suffice.
    """

    stock: float
    sold_share: float
    out_share: float


def simulate(demand: np.ndarray, order_up_to: np.ndarray, reviews: np.ndarray, lead: int) -> Outcome:
    """Returns the outcome of ordering up to a level at each review. Demand beyond the stock is lost.

    The initial stock is the first level, so that each policy starts with the stock that it considers right.

    Args:
        demand: units of demand, with a column per calendar day; shape (n, days).
        order_up_to: order-up-to levels; shape (n, reviews).
        reviews: columns of `demand` at whose start the stock is reviewed.
        lead: days from an order to its arrival, at the start of that day.
    """
    count, days = demand.shape
    on_hand = order_up_to[:, 0].astype(float).copy()
    arriving = np.zeros((count, days + lead + 1))
    held, sold, out, asked = 0.0, 0.0, 0, 0
    for day in range(days):
        on_hand += arriving[:, day]
        for review in np.flatnonzero(reviews == day):
            under_way = arriving[:, day + 1 :].sum(axis=1)
            arriving[:, day + lead] += np.maximum(order_up_to[:, review] - on_hand - under_way, 0)
            if lead == 0:
                on_hand += arriving[:, day]
        wanted = demand[:, day]
        given = np.minimum(on_hand, wanted)
        on_hand = on_hand - given
        held += on_hand.sum()
        sold += given.sum()
        out += int((given < wanted).sum())
        asked += int((wanted > 0).sum())
    return Outcome(held / days, sold / max(demand.sum(), 1e-9), out / max(asked, 1))


def stock_at(share: float, curve: list[Outcome]) -> float:
    """Returns the mean stock at which a policy sells the share of the demand, interpolated on its curve.

    Raises:
        ValueError: the curve does not reach the share.
    """
    points = sorted((each.sold_share, each.stock) for each in curve)
    shares, stocks = np.array(points).T
    if not shares[0] <= share <= shares[-1]:
        raise ValueError(
            f"a share of {share:.3f} is not within {shares[0]:.3f} to {shares[-1]:.3f}, which the levels reach"
        )
    return float(np.interp(share, shares, stocks))
