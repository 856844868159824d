"""Learns by TensorFlow who buys again, from a version of features in the lake, and prints how far the predictions can be trusted.

    eval "$(make -s env)"
    python notebooks/features_tensorflow.py

It needs TensorFlow, boto3 and pyarrow (`make setup-forecast` makes an environment with them). docs/features.md
"""

from __future__ import annotations

import io
import json
import os
import sys

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

LABEL = "label_bought_90_days"
SEED = 7


class Version:
    """The version of features/latest.json in the lake of ECOMMERCE_BUCKET."""

    def __init__(self) -> None:
        self.s3, self.bucket = boto3.client("s3"), os.environ["ECOMMERCE_BUCKET"]
        self.manifest = self.json(self.json("features/latest.json")["manifest"])
        self.schema, self.scalers = self.json(self.manifest["schema"]), self.json(self.manifest["scalers"])

    def get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def json(self, key: str) -> dict:
        return json.loads(self.get(key))

    def table(self, data_set: str, part: str) -> pa.Table:
        files = [file["key"] for file in self.manifest["files"][data_set] if file["part"] == part]
        return pa.concat_tables(pq.read_table(io.BytesIO(self.get(key))) for key in files)

    def dataset(self, data_set: str, part: str, label: str) -> tf.data.Dataset:
        """Returns ({feature: value}, label) of each row of the part."""
        table = self.table(data_set, part)
        features = {}
        for column in self.schema[data_set]:
            if column["role"] == "feature":
                values = table[column["name"]]
                is_text = column["type"].startswith("VARCHAR")
                features[column["name"]] = np.array(values.to_pylist(), dtype=str if is_text else np.float32)
        return tf.data.Dataset.from_tensor_slices((features, np.array(table[label].to_pylist(), dtype=np.float32)))


def model_of(scalers: dict) -> tf.keras.Model:
    """Returns a small network whose first layer scales as scalers.json says; numbers that are spread wide count by their logarithm."""
    inputs, encoded = {}, []
    for name, fitted in scalers["numeric"].items():
        inputs[name] = tf.keras.Input((), name=name, dtype=tf.float32)
        scaled = (inputs[name] - fitted["mean"]) / fitted["scale"]
        bent = tf.keras.ops.sign(scaled) * tf.keras.ops.log1p(tf.keras.ops.abs(scaled))
        encoded.append(tf.keras.ops.expand_dims(bent, -1))
    for name, values in scalers["categories"].items():
        inputs[name] = tf.keras.Input((), name=name, dtype=tf.string)
        lookup = tf.keras.layers.StringLookup(vocabulary=values, output_mode="one_hot")
        encoded.append(lookup(inputs[name]))
    hidden = tf.keras.layers.Dense(16, activation="relu")(tf.keras.layers.Concatenate()(encoded))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(1, activation="sigmoid")(hidden)[:, 0])
    model.compile(tf.keras.optimizers.Adam(3e-3), "binary_crossentropy")
    return model


def reliability(said: np.ndarray, came: np.ndarray, bins: int = 5) -> list[tuple[float, float, int]]:
    """Returns (mean prediction, share of those who bought, customers) of each fifth of the predictions."""
    return [
        (float(said[rows].mean()), float(came[rows].mean()), len(rows))
        for rows in np.array_split(np.argsort(said), bins)
    ]


def main() -> int:
    """Trains on train until validation gets no better, prints the test part's figures, and returns 1 where the base rate is better."""
    tf.keras.utils.set_random_seed(SEED)
    version = Version()
    train, validation, test = (version.dataset("customer", part, LABEL) for part in ("train", "validation", "test"))
    model = model_of(version.scalers["customer"])
    stop = tf.keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    model.fit(
        train.shuffle(10_000, seed=SEED).batch(128),
        validation_data=validation.batch(512),
        epochs=60,
        verbose=0,
        callbacks=[stop],
    )
    said = model.predict(test.batch(512), verbose=0)
    came = np.array([label for _, label in test.as_numpy_iterator()])
    base_rate = np.mean([label for _, label in train.as_numpy_iterator()])
    brier, of_base_rate = float(np.mean((said - came) ** 2)), float(np.mean((base_rate - came) ** 2))
    print(f"version {version.manifest['version']}: {len(came):,} customers, {came.mean():.1%} bought within 90 days")
    print(f"Brier score {brier:.4f}, of the base rate {base_rate:.1%} {of_base_rate:.4f}")
    for mean, share, count in reliability(said, came):
        print(f"said {mean:6.1%}  came {share:6.1%}  customers {count:,}")
    return int(brier >= of_base_rate)


if __name__ == "__main__":
    sys.exit(main())
