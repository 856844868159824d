"""Spark on this machine: the CSV with a schema, the old table without the new keys, written anew."""

from __future__ import annotations

import shutil
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as f
from pyspark.sql.window import Window

KEPT = "typed; a bad value becomes NULL without a word; no reasons; repeats kept by line number"


def _session() -> SparkSession:
    return (
        SparkSession.builder.master("local[*]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )


def prepare(folder: Path) -> None:
    _session().sparkContext.setLogLevel("ERROR")


def load(data: Path, folder: Path) -> dict[str, int]:
    spark, table, new = _session(), folder / "table", folder / "new"
    rows = (
        spark.read.csv(str(data), header=True)
        .withColumn("Quantity", f.col("Quantity").cast("int"))
        .withColumn("InvoiceDate", f.to_timestamp("InvoiceDate", "M/d/yyyy H:mm"))
        .withColumn("UnitPrice", f.col("UnitPrice").cast("decimal(12,3)"))
        # A packed file is one partition, so its order is the file's.
        .withColumn("line", f.row_number().over(Window.orderBy(f.monotonically_increasing_id())))
    )
    if table.exists():
        rows = spark.read.parquet(str(table)).join(rows.select("line"), "line", "left_anti").unionByName(rows)
    rows.write.mode("overwrite").parquet(str(new))
    shutil.rmtree(table, ignore_errors=True)
    new.rename(table)
    found = spark.read.parquet(str(table))
    nulls = found.filter("Quantity IS NULL OR InvoiceDate IS NULL OR UnitPrice IS NULL").count()
    return {"rows": found.count(), "nulls": nulls}
