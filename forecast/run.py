"""A forecast run: reads the demand, compares and chooses methods, and writes the results.

The results are forecasts, reorder points, models and a summary.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import statsforecast

from forecast import panel as panels
from forecast import stock
from forecast.backtest import (
    DRIFT_FACTOR,
    FALLBACK,
    NETWORK,
    Fold,
    Method,
    add_mean_of_best,
    baselines,
    chosen,
    drift,
    fold,
    open_days_only,
    origins,
    winners,
)
from forecast.baselines import BASELINES, MEAN_OF_BEST, mean_of_best
from forecast.panel import CLASSES, HORIZON_DAYS, QUANTILES, Panel
from forecast.storage import Place

log = logging.getLogger(__name__)

VERSION = 3  # version of the computation; after a change, the same demand is forecast again
FOLDS = 2
LAST_WEEK_DAYS = 7
# The network learns from all products, but it is a candidate only for those whose past distinguishes them from others.
BY_BASELINE_ALONE = ("intermittent", "new")
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Parameters:
    """The parameters of a run. `lead_days` and `service_levels` are by class."""

    lead_days: Mapping[str, int]
    service_levels: Mapping[str, float]
    seeds: Sequence[int] = (1,)
    review_days: int = 7
    country: str = ""  # country whose public holidays are known, as in `panel.closed`
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, by_class in (("lead_days", self.lead_days), ("service_levels", self.service_levels)):
            if set(by_class) != set(CLASSES):
                raise ValueError(f"{name} has {sorted(by_class)}; expected each of {sorted(CLASSES)}")
        longest = HORIZON_DAYS - self.review_days
        if not all(1 <= days <= longest for days in self.lead_days.values()):
            raise ValueError(
                f"lead_days {self.lead_days}: expected 1 to {longest}, because {HORIZON_DAYS} are forecast"
            )
        if not all(0.5 <= level < 1 for level in self.service_levels.values()):
            raise ValueError(f"service_levels {self.service_levels}: expected from 0.5 to below 1")


def run(demand: str, output: str, models: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the summary of the run, which is also written next to its files.

    Args:
        demand: place of the Parquet files with panel.SCHEMA, as in `storage.Place`.
        output: place under which the folder of the run is written. Its name is the fingerprint of demand and
            parameters. A run with the same fingerprint is not computed again.
        models: place under which the networks are stored, in a folder of the same name.
        parameters: the fields of `Parameters`.

    Raises:
        ValueError: the demand or a parameter is invalid; the message has the details.
        FileNotFoundError: there is no demand.
    """
    begun = time.monotonic()
    asked = Parameters(**parameters)
    panel = panels.read(Place(demand).read_table())
    fingerprint = fingerprint_of(panel, asked)
    place = Place(f"{output}{fingerprint}/")
    if done := place.read_json(SUMMARY):
        log.info("fingerprint=%s is forecast already", fingerprint)
        return done | {"unchanged": True}
    made = forecast(panel, asked)
    if made.networks:
        keep(Place(f"{models}{fingerprint}/"), made, asked, fingerprint)
    known = panel.of(panel.active())
    place.write_table("forecast/part-0.parquet", forecast_table(known, made, fingerprint))
    place.write_table("lead_time/part-0.parquet", lead_time_table(known, made, asked, fingerprint))
    summary = made.summary | {
        "fingerprint": fingerprint,
        "origin": str(panel.end),
        "products": len(known.products),
        "unchanged": False,
        "forecast": f"{place.url}forecast/",
        "lead_time": f"{place.url}lead_time/",
        "horizon_days": HORIZON_DAYS,
        "seconds": round(time.monotonic() - begun, 1),
    }
    place.write_json(SUMMARY, summary)  # written last, so that the files in it exist
    return summary


def fingerprint_of(panel: Panel, asked: Parameters) -> str:
    """Returns a digest of everything that the forecast depends on."""
    request = json.dumps(asdict(asked) | {"version": VERSION}, sort_keys=True, default=list)
    return hashlib.sha256(f"{panel.fingerprint()} {request}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Forecast:
    """The quantiles of the active products, with their classes, methods, summary and networks."""

    quantiles: np.ndarray
    classes: np.ndarray
    by_class: dict[str, str]
    summary: dict[str, Any]
    networks: Any = None


def forecast(panel: Panel, asked: Parameters) -> Forecast:
    """Returns the forecast of the active products from the end of the panel, by the best method of each class."""
    known = panel.of(panel.active())
    methods = baselines()
    cut = panel.end - FOLDS * HORIZON_DAYS
    if cut - panel.days[0] < 2 * HORIZON_DAYS:
        why = f"{int((panel.end - panel.days[0]).astype(int))} days of demand are too few to compare methods"
        by_class = dict.fromkeys(CLASSES, FALLBACK)
        summary = {
            "methods": by_class,
            "losses": {},
            "drift": False,
            "device": "CPU",
            "note": f"{why}: all have the {FALLBACK}",
        }
        quantiles = open_days_only(methods[FALLBACK](known), known, asked.country)
        return Forecast(quantiles, known.classes(), by_class, summary)
    network, device = trained(panel.until(cut), asked)
    if network:
        methods[NETWORK] = lambda past: np.rint(network.forecast(past))
    folds, last_week = compared(panel, methods, asked.country)
    by_class = choose(folds, with_network=network is not None)
    last, usual = drift(folds, last_week, by_class)
    drifted = last > DRIFT_FACTOR * usual
    if drifted:
        by_class = choose(folds, with_network=False)
    forecasts = {name: method(known) for name, method in methods.items() if name in {*BASELINES}}
    best = {name: sum(f.losses()[name] for f in folds) for name in BASELINES}
    forecasts[MEAN_OF_BEST] = np.rint(mean_of_best(forecasts, best))
    networks = None
    if NETWORK in by_class.values():
        networks, device = trained(panel, asked)
        forecasts[NETWORK] = np.rint(networks.forecast(known))
    losses = {name: round(float(np.mean([f.losses()[name] for f in folds])), 4) for name in folds[0].forecasts}
    summary = {
        "methods": by_class,
        "losses": losses,
        "drift": bool(drifted),
        "last_week_loss": round(last, 4),
        "fold_loss": round(usual, 4),
        "device": device,
        "note": "",
    }
    quantiles = open_days_only(chosen(forecasts, known.classes(), by_class), known, asked.country)
    return Forecast(quantiles, known.classes(), by_class, summary, networks)


def compared(panel: Panel, methods: Mapping[str, Method], country: str) -> tuple[list[Fold], Fold]:
    """Returns the folds, and a fold of the same methods for the last week."""
    folds = [fold(panel, origin, methods, country=country) for origin in origins(panel, FOLDS)]
    last_week = fold(panel, panel.end - LAST_WEEK_DAYS, methods, LAST_WEEK_DAYS, country)
    add_mean_of_best([*folds, last_week])
    return folds, last_week


def choose(folds: Sequence[Fold], *, with_network: bool) -> dict[str, str]:
    """Returns the chosen method by class."""
    without = [*BASELINES, MEAN_OF_BEST]
    found = winners(folds, [*without, NETWORK] if with_network else without)
    plain = winners(folds, without)
    return {name: plain[name] if name in BY_BASELINE_ALONE else method for name, method in found.items()}


def trained(panel: Panel, asked: Parameters) -> tuple[Any, str]:
    """Returns (networks, device). The networks are None if the past is too short to train on."""
    from forecast.network import SHORTEST_DAYS, Ensemble, Training, device

    if panel.end - panel.days[0] < SHORTEST_DAYS:
        return None, device()
    log.info("training on %s", device())
    return Ensemble.trained(panel, asked.seeds, Training(**asked.training)), device()


def keep(place: Place, made: Forecast, asked: Parameters, fingerprint: str) -> None:
    """Writes the networks, with their parameters, package versions and the summary."""
    import tensorflow as tf

    for seed, network in zip(asked.seeds, made.networks.networks, strict=True):
        place.write(f"seed={seed}/model.keras", network.saved())
        place.write(f"seed={seed}/products.npy", network.identities())
    about = {
        "fingerprint": fingerprint,
        "parameters": json.loads(json.dumps(asdict(asked), default=list)),
        "tensorflow": tf.__version__,
        "statsforecast": statsforecast.__version__,
    }
    place.write_json("about.json", about | made.summary)


def forecast_table(known: Panel, made: Forecast, fingerprint: str) -> pa.Table:
    """Returns a row per product and calendar day. On days on which the shop is closed, the units are zero."""
    days = known.end + np.arange(HORIZON_DAYS)
    units = np.zeros((len(known.products), HORIZON_DAYS, len(QUANTILES)))
    units[:, np.isin(days, panels.horizon(known))] = made.quantiles
    count = len(known.products)
    feeds, products = _names(known)
    columns: dict[str, Any] = {
        "feed": np.repeat(feeds, HORIZON_DAYS),
        "product_id": np.repeat(products, HORIZON_DAYS),
        "forecast_date": pa.array(np.tile(days, count).astype("datetime64[D]"), pa.date32()),
    }
    for place, quantile in enumerate(QUANTILES):
        columns[f"units_p{round(quantile * 100):02d}"] = units[:, :, place].ravel().astype("int64")
    columns |= {
        "demand_class": np.repeat(made.classes.astype(str), HORIZON_DAYS),
        "method": np.repeat([made.by_class[name] for name in made.classes], HORIZON_DAYS),
        "origin_date": pa.array(np.full(count * HORIZON_DAYS, known.end).astype("datetime64[D]"), pa.date32()),
        "fingerprint": [fingerprint] * (count * HORIZON_DAYS),
    }
    return pa.table(columns)


def _names(known: Panel) -> tuple[np.ndarray, np.ndarray]:
    pairs = [name.split(panels.BETWEEN, 1) for name in known.products]
    return np.array([feed for feed, _ in pairs]), np.array([product for _, product in pairs])


def lead_time_table(known: Panel, made: Forecast, asked: Parameters, fingerprint: str) -> pa.Table:
    """Returns a row per product with its reorder point and its order-up-to level."""
    how = stock.Replenishment(asked.lead_days, asked.service_levels, asked.review_days)
    feeds, products = _names(known)
    found = stock.levels(made.quantiles, panels.horizon(known), known.end, made.classes, how)
    return pa.table(
        {
            "feed": feeds,
            "product_id": products,
            "demand_class": made.classes.astype(str),
            "origin_date": pa.array(np.full(len(known.products), known.end).astype("datetime64[D]"), pa.date32()),
            "lead_days": found.lead_days.astype("int32"),
            "service_level": pa.array(found.service_level.round(4)).cast(pa.decimal128(18, 4)),
            "expected_units": pa.array(found.expected.round(2)).cast(pa.decimal128(18, 2)),
            "reorder_point": found.reorder_point.astype("int64"),
            "order_up_to": found.order_up_to.astype("int64"),
            "fingerprint": [fingerprint] * len(known.products),
        }
    )
