"""One TensorFlow model of all products: a small mixer over time and features, with a quantile head.

It follows Chen, Li, Arik, Yoder, Pfister (2023), TSMixer, TMLR. Dense layers alternate over the days and over the
features of a window of the past. For each day ahead, a head combines their output with the product's known features and
the day's calendar. The head transforms the quantiles of the product's last weeks into those of the day, so an untrained
model is close to a moving window.
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from forecast.panel import ACTIVE_DAYS, HORIZON_DAYS, QUANTILES, Panel, horizon, weekday

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import tensorflow as tf

log = logging.getLogger(__name__)

WEEKS = 12  # weeks of the past that the model sees; all days here are open days
WINDOW_WEEKS = 8  # weeks whose quantiles are the input of the head
FEATURES, HIDDEN, HEAD, BLOCKS, EMBEDDING = 16, 32, 48, 2, 4
DROPOUT, EMBEDDING_DROPOUT = 0.1, 0.3
CALENDAR = 11
STEADY = 0.1  # units a day, added to a product's scale: one unit in twelve weeks is not a hundred times the scale
LEVELS = np.asarray(QUANTILES, dtype="float32")


@dataclass(frozen=True)
class Training:
    """The training parameters of the model. The same seed, data and machine give the same model."""

    epochs: int = 2
    windows_an_epoch: int = 30_000
    batch_size: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4


def device() -> str:
    """Returns `GPU` if TensorFlow finds a GPU, on which it then computes, and `CPU` otherwise."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def calendar(days: np.ndarray) -> np.ndarray:
    """Returns the features of days that are known beforehand; shape (t, CALENDAR).

    They are the weekday, and the time of year as two harmonics.
    """
    of_year = (days - days.astype("datetime64[Y]")).astype("int64") * 2 * np.pi / 365.25
    known = np.zeros((len(days), CALENDAR), dtype="float32")
    known[np.arange(len(days)), weekday(days)] = 1
    for column, wave in enumerate(
        (np.sin(of_year), np.cos(of_year), np.sin(2 * of_year), np.cos(2 * of_year)), start=7
    ):
        known[:, column] = wave
    return known


class Windows:
    """Extracts the inputs of the model from a panel: the data known at a column, for products by position."""

    def __init__(self, panel: Panel) -> None:
        self.panel, self.past = panel, WEEKS * panel.season
        self.ahead = horizon(panel)
        self.calendar = calendar(np.concatenate([panel.days, self.ahead]))
        self.prices = panel.prices()
        # Capped, because single orders of thousands of units would hide the shop's trend.
        capped = np.minimum(panel.units, np.quantile(panel.units[panel.units > 0], 0.995))
        self.shop = capped.sum(axis=0)

    def starts(self) -> np.ndarray:
        """Returns (product, column) of each training window: an active product with a whole horizon after it."""
        sold = np.cumsum(self.panel.units, axis=1)
        weeks = ACTIVE_DAYS // 7 * self.panel.season
        found = []
        for column in range(self.past, self.panel.units.shape[1] - len(self.ahead) + 1):
            active = np.flatnonzero(sold[:, column - 1] - sold[:, max(column - 1 - weeks, 0)] > 0)
            found.append(np.stack([active, np.full(len(active), column)], axis=1))
        return np.concatenate(found) if found else np.empty((0, 2), dtype="int64")

    def targets(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Returns the units of the days ahead; shape (w, h)."""
        return self._cut(self.panel.units, rows, columns, 0, len(self.ahead)).astype("float32")

    def inputs(self, rows: np.ndarray, columns: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the model's inputs for each window."""
        season, past = self.panel.season, self.past
        units = self._cut(self.panel.units, rows, columns, -past, past)
        lengths = [weeks * season for weeks in (1, 4, 8, WEEKS)]
        means = np.stack([units[:, -n:].mean(axis=1) for n in lengths], axis=1)
        scale = means[:, [1, 3]].mean(axis=1) + STEADY
        shop = self._of_days(self.shop, columns, -past, past)
        shop = shop / np.maximum(shop.mean(axis=1, keepdims=True), 1e-6) - 1
        prices = self._cut(self.prices, rows, columns, -past, past)
        known = [
            np.log(means + STEADY),
            np.log(scale)[:, None],
            np.stack([(units[:, -n:] > 0).mean(axis=1) for n in lengths], axis=1),
            np.log1p(np.quantile(units, (0.5, 0.75, 0.9, 0.95, 1), axis=1).T / scale[:, None]),
            np.log1p(prices[:, -1:]),
            prices[:, -1:] / np.maximum(prices.max(axis=1, keepdims=True), 1e-6),
            shop[:, -season:].mean(axis=1, keepdims=True),
            shop[:, -4 * season :].mean(axis=1, keepdims=True),
        ]
        days = self._of_days(self.calendar, columns, -past, past)[:, :, :7]
        found = {
            "past": np.concatenate([np.log1p(units / scale[:, None])[:, :, None], shop[:, :, None], days], axis=2),
            "known": np.concatenate(known, axis=1),
            "window": np.quantile(units[:, -WINDOW_WEEKS * season :], QUANTILES, axis=1).T / scale[:, None],
            "ahead": self._of_days(self.calendar, columns, 0, len(self.ahead)),
            "scale": scale,
        }
        return {name: values.astype("float32") for name, values in found.items()} | {"product": rows.astype("int32")}

    @staticmethod
    def _cut(values: np.ndarray, rows: np.ndarray, columns: np.ndarray, offset: int, count: int) -> np.ndarray:
        return np.asarray(values[rows[:, None], columns[:, None] + np.arange(offset, offset + count)])

    @staticmethod
    def _of_days(values: np.ndarray, columns: np.ndarray, offset: int, count: int) -> np.ndarray:
        return np.asarray(values[columns[:, None] + np.arange(offset, offset + count)])


def build(shapes: dict[str, tuple[int, ...]], products: int) -> Any:
    """Returns the Keras model for inputs of the given shapes.

    Its output has the shape (windows, days ahead, quantiles), in units.
    """
    layers, ops = keras.layers, keras.ops
    inputs = {
        name: keras.Input(shape, name=name, dtype="int32" if name == "product" else "float32")
        for name, shape in shapes.items()
    }
    days, ahead = shapes["past"][0], shapes["ahead"][0]
    x = layers.Dense(FEATURES)(inputs["past"])
    for _ in range(BLOCKS):
        over_days = layers.Permute((2, 1))(layers.LayerNormalization()(x))
        over_days = layers.Dropout(DROPOUT)(layers.Dense(days, activation="relu")(over_days))
        x = layers.Add()([x, layers.Permute((2, 1))(over_days)])
        over_features = layers.Dense(HIDDEN, activation="relu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(FEATURES)(layers.Dropout(DROPOUT)(over_features))])
    x = layers.Permute((2, 1))(layers.Dense(ahead)(layers.Permute((2, 1))(x)))
    known = layers.Dense(HEAD, activation="relu")(layers.LayerNormalization()(inputs["known"]))
    identity = layers.Embedding(products, EMBEDDING, embeddings_initializer="zeros")(inputs["product"])
    product = layers.Concatenate()([known, layers.Dropout(EMBEDDING_DROPOUT)(identity)])
    z = layers.Concatenate()([x, layers.RepeatVector(ahead)(product), inputs["ahead"]])
    z = layers.Dropout(DROPOUT)(layers.Dense(HEAD, activation="relu")(z))
    z = layers.Add()([z, layers.Dropout(DROPOUT)(layers.Dense(HEAD, activation="relu")(z))])
    turn = layers.Dense(2 * len(LEVELS), kernel_initializer=keras.initializers.RandomNormal(stddev=0.01))(z)
    window = ops.expand_dims(inputs["window"], 1)
    factor, step = ops.exp(ops.tanh(turn[:, :, : len(LEVELS)])), ops.tanh(turn[:, :, len(LEVELS) :])
    quantiles = ops.sort(ops.relu(window * factor + step), axis=2) * ops.reshape(inputs["scale"], (-1, 1, 1))
    return keras.Model(inputs, quantiles)


def pinball(actual: Any, quantiles: Any) -> Any:
    """Returns the pinball loss of each window, in units; `actual` has the shape (windows, days ahead)."""
    error = keras.ops.expand_dims(actual, 2) - quantiles
    return keras.ops.mean(keras.ops.maximum(LEVELS * error, (LEVELS - 1) * error), axis=(1, 2))


class Network:
    """A trained model. It can forecast any panel; products that it does not know share one embedding.

    Args:
        model: the Keras model.
        products: ids of the products with an embedding, in its order. Position 0 of the embedding is for all others.
    """

    def __init__(self, model: Any, products: np.ndarray) -> None:
        self.model, self.products = model, products

    @classmethod
    def trained(cls, panel: Panel, seed: int, training: Training) -> Network | None:
        """Returns a model trained on windows of the panel that have a whole horizon after them.

        It returns None if there are fewer such windows than one batch.
        """
        keras.utils.set_random_seed(seed)
        rng = np.random.default_rng(seed)
        windows = Windows(panel)
        starts = windows.starts()
        if len(starts) < training.batch_size:
            return None
        count = min(training.windows_an_epoch, len(starts))
        identity = np.arange(1, len(panel.products) + 1)
        shapes = {name: values.shape[1:] for name, values in windows.inputs(*starts[:1].T).items()}
        network = cls(build(shapes, len(panel.products) + 1), panel.products)
        steps = training.epochs * -(-count // training.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(training.learning_rate, steps)
        network.model.compile(optimizer=keras.optimizers.AdamW(rate, weight_decay=training.weight_decay), loss=pinball)
        for epoch in range(training.epochs):
            rows, columns = starts[rng.choice(len(starts), count, replace=False)].T
            inputs = windows.inputs(rows, columns)
            # A compromise: few large products dominate the loss in units, many small ones the loss relative to scale.
            weight = inputs["scale"] ** -0.5
            inputs["product"] = identity[rows].astype("int32")
            past = network.model.fit(
                inputs,
                windows.targets(rows, columns),
                sample_weight=weight,
                batch_size=training.batch_size,
                shuffle=False,
                verbose=0,
            )
            log.info("seed=%s epoch=%s loss=%.4f windows=%s", seed, epoch, past.history["loss"][-1], count)
        return network

    def forecast(self, panel: Panel) -> np.ndarray:
        """Returns the quantiles in units of the days that follow the panel; shape (products, days, quantiles)."""
        windows = Windows(panel)
        rows = np.arange(len(panel.products))
        inputs = windows.inputs(rows, np.full(len(rows), panel.units.shape[1]))
        at = np.searchsorted(self.products, panel.products).clip(max=len(self.products) - 1)
        inputs["product"] = np.where(self.products[at] == panel.products, at + 1, 0).astype("int32")
        return np.asarray(self.model.predict(inputs, batch_size=4096, verbose=0), dtype=float)

    def saved(self) -> bytes:
        """Returns the model as a Keras file, which contains architecture and weights."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            self.model.save(path)
            return path.read_bytes()

    def identities(self) -> bytes:
        """Returns the ids of the products with an embedding, as a NumPy file."""
        buffer = io.BytesIO()
        np.save(buffer, self.products, allow_pickle=False)
        return buffer.getvalue()


class Ensemble:
    """Networks of several seeds. The forecast is the mean of their forecasts."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self.networks = tuple(networks)

    @classmethod
    def trained(cls, panel: Panel, seeds: Sequence[int], training: Training) -> Ensemble | None:
        """Returns the networks of all seeds, or None if the panel is too short to train on."""
        found = [Network.trained(panel, seed, training) for seed in seeds]
        networks = [network for network in found if network]
        return cls(networks) if networks else None

    def forecast(self, panel: Panel) -> np.ndarray:
        return np.asarray(np.mean([network.forecast(panel) for network in self.networks], axis=0))


SHORTEST_DAYS = (WEEKS + 4) * 7 + HORIZON_DAYS  # calendar days: a window, four weeks for window starts, and a horizon
