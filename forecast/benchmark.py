"""Comparison of all methods on a shop's past, for the tables of docs/forecast.md. `make benchmark-forecast` runs it."""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from forecast import panel as panels
from forecast import stock
from forecast.backtest import (
    NAIVE,
    NETWORK,
    Fold,
    Method,
    add_mean_of_best,
    baselines,
    chosen,
    fold,
    open_days_only,
    origins,
)
from forecast.baselines import BASELINES, MEAN_OF_BEST, mean_of_best
from forecast.network import Ensemble, Network, Training, device
from forecast.panel import CLASSES, HORIZON_DAYS, Panel
from forecast.run import choose
from forecast.storage import Place

log = logging.getLogger(__name__)

PUBLISHED = "published"
LEAD_DAYS, REVIEW_DAYS = 7, 7
SERVICE_LEVEL = 0.95  # of the naive policy; the others are compared at the share of demand that it sells
# (service level, factor): beyond the highest level, a factor raises the stock, so that all policies reach all shares.
GRID = (
    *((level, 1.0) for level in (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995)),
    *((0.995, factor) for factor in (1.25, 1.5, 2.0, 3.0, 4.0)),
)
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def from_online_retail(path: str) -> pa.Table:
    """Returns the demand in a file of UCI data set 352, computed by the rules of mart.product_demand_daily."""
    names = ["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice"]
    lines = pd.read_csv(path, dtype={"InvoiceNo": str, "StockCode": str}, usecols=names)
    code, number = lines["StockCode"].str.strip().str.upper(), lines["InvoiceNo"].str.upper()
    is_cancelled = number.str.startswith("C")
    is_adjusted = ~is_cancelled & (number.str.startswith("A") | (lines["Quantity"] < 0))
    found = pd.DataFrame(
        {
            "feed": "online_retail",
            "product_id": code,
            "day": pd.to_datetime(lines["InvoiceDate"], format="%m/%d/%Y %H:%M").dt.date,
            "units": lines["Quantity"].where(~is_adjusted, 0),
            "revenue": (lines["Quantity"] * lines["UnitPrice"]).where(~is_cancelled & ~is_adjusted, 0),
        }
    )[code.str.match(r"[0-9]{5}")]
    daily = found.groupby(["feed", "product_id", "day"], as_index=False).sum()
    daily.loc[daily["revenue"] <= 0, "units"] = 0  # a stock correction, or goods given away
    return pa.Table.from_pandas(daily, preserve_index=False)


@dataclass(frozen=True)
class Results:
    """The results of the measurement.

    Attributes:
        folds: one fold per origin.
        networks: the networks of each origin, by seed.
        by_class: the methods chosen for each origin from earlier folds, by class.
        country: country whose public holidays are known.
    """

    folds: list[Fold]
    networks: list[dict[int, Network]]
    by_class: list[dict[str, str]]
    country: str

    @property
    def judged(self) -> range:
        """Positions of the folds on which methods are compared. The first fold serves only to choose methods."""
        return range(1, len(self.folds))


def measure(panel: Panel, folds: int, seeds: Sequence[int], training: Training, country: str = "") -> Results:
    """Returns the forecasts of all methods at the last origins.

    At each origin, new networks are trained on the data before it.

    Raises:
        ValueError: the data before an origin is too short to train on.
    """
    done, networks = [], []
    for origin in origins(panel, folds):
        known = panel.until(origin)
        found = {seed: net for seed in seeds if (net := Network.trained(known, seed, training))}
        if len(found) < len(seeds):
            raise ValueError(f"origin {origin}: {len(known.days)} days are too few to train from; ask for fewer folds")
        methods: dict[str, Method] = baselines()
        methods |= {f"{NETWORK} {seed}": _whole(net) for seed, net in found.items()}
        methods[NETWORK] = _whole(Ensemble(list(found.values())))
        done.append(fold(panel, origin, methods, country=country))
        networks.append(found)
        log.info("origin=%s %s", origin, {name: round(loss, 4) for name, loss in done[-1].losses().items()})
    add_mean_of_best(done)
    by_class = [choose(done[max(i - 2, 0) : i] or done[:1], with_network=True) for i in range(folds)]
    for now, picked in zip(done, by_class, strict=True):
        now.forecasts[PUBLISHED] = chosen(now.forecasts, now.classes, picked)
    return Results(done, networks, by_class, country)


def _whole(model: Network | Ensemble) -> Method:
    return lambda past: np.rint(model.forecast(past))


def of_methods(results: Results, seeds: Sequence[int]) -> list[str]:
    """Returns the lines of the table of methods."""
    judged = [results.folds[i] for i in results.judged]
    lost = {m: np.array([f.losses()[m] for f in judged]) for m in [*BASELINES, MEAN_OF_BEST, NETWORK, PUBLISHED]}
    best = min(BASELINES, key=lambda name: lost[name].mean())
    lines = [
        f"| method | pinball loss | against {best} | RMSSE | coverage of the 90 % interval |",
        "|---|---|---|---|---|",
    ]
    for name, values in lost.items():
        scores = [f.scores(name) for f in judged]
        against = (values / lost[best] - 1) * 100
        lines.append(
            f"| {name} | {_spread(values, 3)} | {_spread(against, 1, sign=True)} % | {_spread([s['rmsse'] for s in scores], 3)} "
            f"| {_spread([s['coverage'] * 100 for s in scores], 1)} % |"
        )
    of_seeds = [float(np.mean([f.losses()[f"{NETWORK} {seed}"] for f in judged])) for seed in seeds]
    sentence = f"`{NETWORK}` is the mean of the quantiles of {len(seeds)} seeds; alone they have {_spread(of_seeds, 3)}"
    lines += ["", f"{sentence} (spread over seeds)."]
    return lines


def _spread(values: Sequence[float] | np.ndarray, digits: int, *, sign: bool = False) -> str:
    form = f"{'+' if sign else ''}.{digits}f"
    return f"{np.mean(values):{form}} ± {np.std(values, ddof=1):.{digits}f}"


def of_folds(results: Results) -> list[str]:
    """Returns the lines of the table of folds."""
    shown = [NAIVE, "moving window", NETWORK, PUBLISHED]
    lines = ["| origin | products | units a day | " + " | ".join(shown) + " |", "|---|---|---|" + "---|" * len(shown)]
    for each in results.folds:
        scores = each.losses()
        cells = " | ".join(f"{scores[name]:.3f}" for name in shown)
        lines.append(f"| {each.origin} | {len(each.classes):,} | {each.actual.mean():.2f} | {cells} |")
    return lines


def of_classes(results: Results) -> list[str]:
    """Returns the lines of the table of classes: losses over the judged folds, and the method chosen for the last."""
    shown = [*BASELINES, MEAN_OF_BEST, NETWORK, PUBLISHED]
    lines = [
        "| class | products a fold | " + " | ".join(shown) + " | chosen for the last fold |",
        "|---|---|" + "---|" * (len(shown) + 1),
    ]
    for name in CLASSES:
        found = {m: [results.folds[i].by_class(m)[name] for i in results.judged] for m in shown}
        count = sum(n for _, n in found[NAIVE])
        if count:
            cells = " | ".join(f"{sum(lost for lost, _ in found[m]) / count:.3f}" for m in shown)
            lines.append(f"| {name} | {count / len(results.judged):,.0f} | {cells} | {results.by_class[-1][name]} |")
    return lines


def _policies(panel: Panel, results: Results, place: int) -> Mapping[str, Callable[[Panel], np.ndarray]]:
    """Returns the forecast method of each ordering policy, for the products of the fold."""
    methods = baselines()
    methods[NETWORK] = _whole(Ensemble(list(results.networks[place].values())))
    past = {name: sum(f.losses()[name] for f in results.folds[:place]) for name in BASELINES}
    picked = results.by_class[place]

    def published(known: Panel) -> np.ndarray:
        needed = set(picked.values())
        found = {
            name: method(known)
            for name, method in methods.items()
            if name in needed or (MEAN_OF_BEST in needed and name in BASELINES)
        }
        if MEAN_OF_BEST in needed:
            found[MEAN_OF_BEST] = np.rint(mean_of_best(found, past))
        return chosen(found, results.folds[place].classes, picked)

    return {NAIVE: methods[NAIVE], "moving window": methods["moving window"], PUBLISHED: published}


def _curves(panel: Panel, results: Results, place: int) -> dict[str, list[stock.Outcome]]:
    """Returns the outcomes of each policy at the levels of GRID, over the days of one fold, with a weekly review."""
    at = results.folds[place]
    rows = np.searchsorted(panel.products, at.past.products)
    days = at.origin + np.arange(HORIZON_DAYS)
    demand = np.zeros((len(rows), HORIZON_DAYS))
    is_open = np.isin(days, panel.days)
    demand[:, is_open] = panel.units[np.ix_(rows, np.searchsorted(panel.days, days[is_open]))]
    reviews = np.arange(0, HORIZON_DAYS - LEAD_DAYS, REVIEW_DAYS)
    found = {}
    for name, method in _policies(panel, results, place).items():
        up_to = np.zeros((len(GRID), len(rows), len(reviews)))
        for column, day in enumerate(reviews):
            known = panel.until(at.origin + day)
            known = known.of(np.searchsorted(known.products, at.past.products))
            ahead = panels.horizon(known, LEAD_DAYS + REVIEW_DAYS)
            drawn = stock.sums(open_days_only(method(known), known, results.country)[:, : len(ahead)])
            up_to[:, :, column] = [np.ceil(stock.at_level(drawn, level) * factor) for level, factor in GRID]
        found[name] = [stock.simulate(demand, each, reviews, LEAD_DAYS) for each in up_to]
    return found


def of_stock(panel: Panel, results: Results) -> list[str]:
    """Returns the lines of the table of stock."""
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for place in results.judged:
        curves = _curves(panel, results, place)
        naive = curves[NAIVE][GRID.index((SERVICE_LEVEL, 1.0))]
        for name, curve in curves.items():
            held = stock.stock_at(naive.sold_share, curve)
            out = float(np.interp(naive.sold_share, *_sorted([(o.sold_share, o.out_share) for o in curve])))
            lost = 1 - float(np.interp(naive.stock, *_sorted([(o.stock, o.sold_share) for o in curve])))
            rows.setdefault(name, []).append((held, (held / naive.stock - 1) * 100, out * 100, lost * 100))
    lines = [
        "| orders by | mean stock, units | against naive | days with demand that were out | lost demand at the naive policy's stock |",
        "|---|---|---|---|---|",
    ]
    for name, values in rows.items():
        held, against, out, lost = np.array(values).T
        lines.append(
            f"| {name} | {_spread(held, 0)} | {_spread(against, 1, sign=True)} % | {_spread(out, 1)} % | {_spread(lost, 1)} % |"
        )
    return lines


def _sorted(points: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.array(sorted(points)).T
    return first, second


def report(
    demand: str, folds: int, seeds: int, into: str | None, training: Training | None = None, country: str = ""
) -> str:
    """Returns the tables as Markdown, and writes them between the marks of the file `into` if it is set."""
    table = from_online_retail(demand) if demand.endswith((".csv", ".csv.gz")) else Place(demand).read_table()
    panel = panels.read(table)
    numbers = list(range(1, seeds + 1))
    results = measure(panel, folds, numbers, training or Training(), country)
    used = resource.getrusage(resource.RUSAGE_SELF)
    about = (
        f"Demand of {panel.days[0]} to {panel.days[-1]}, fingerprint `{panel.fingerprint()[:16]}`; {folds} origins, {HORIZON_DAYS} days "
        f"apart, of which the first serves to choose from and the other {folds - 1} are judged; computed on {device()}. "
        f"Public holidays known: {country or 'none'}. Figures are mean ± standard deviation over the judged folds."
    )
    parts = [
        about,
        *of_methods(results, numbers),
        "### By origin",
        *of_folds(results),
        "### By class",
        *of_classes(results),
        "### Stock",
        *of_stock(panel, results),
        f"The networks, baselines and scores took {used.ru_utime + used.ru_stime:,.0f} CPU seconds and {used.ru_maxrss / 1024**2:.1f} GB.",
    ]
    text = "\n".join(part if part.startswith("|") else f"\n{part}\n" for part in parts if part).strip() + "\n"
    if into:
        path = Path(into)
        before, _, rest = path.read_text("utf-8").partition(BEGIN)
        if not rest or END not in rest:
            raise ValueError(f"{into} has no {BEGIN} and {END}, between which the tables belong")
        path.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}", "utf-8")
    return text
