"""One contestant in a process of its own: `python -m benchmarks.contestants NAME DATA FOLDER LOADS`, a line of JSON a step."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path


def main(name: str, data: Path, folder: Path, loads: int) -> None:
    started = time.monotonic()
    contestant = importlib.import_module(f"benchmarks.contestants.{name}")
    contestant.prepare(folder)
    print(json.dumps({"kept": contestant.KEPT, "seconds": time.monotonic() - started}), flush=True)
    for _ in range(loads):
        started = time.monotonic()
        try:
            found = contestant.load(data, folder)
        except Exception as error:
            print(json.dumps({"refused": type(error).__name__}), flush=True)
            raise
        print(json.dumps({"seconds": time.monotonic() - started, **found}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
