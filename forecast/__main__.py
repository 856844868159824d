"""`python -m forecast run` makes a forecast from Parquet; `python -m forecast benchmark` compares all methods on a file."""

from __future__ import annotations

import argparse
import json
import logging
import sys

from forecast.panel import CLASSES


def main() -> None:
    """Reads the command line and prints the summary as JSON, or the report as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m forecast", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="forecast the next days")
    for name in ("demand", "output", "models"):
        one.add_argument(f"--{name}", required=True, help="s3://bucket/prefix/, or a folder that ends with a slash")
    one.add_argument("--lead-days", type=int, default=7)
    one.add_argument("--service-level", type=float, default=0.95)
    one.add_argument("--seed", type=int, action="append", help="of a network; several make a mean")
    one.add_argument(
        "--parameters", type=json.loads, help="JSON of forecast.run.Parameters, instead of the three before"
    )
    one.add_argument("--result", help="also write the summary here: s3://bucket/prefix/name, or a file")
    many = commands.add_parser("benchmark", help="compare all methods at past origins")
    many.add_argument("--demand", required=True, help="folder of Parquet files, or an Online Retail CSV")
    many.add_argument("--report", help="write the tables into this Markdown file, between its marks")
    many.add_argument("--folds", type=int, default=5)
    many.add_argument("--seeds", type=int, default=3)
    for command in (one, many):
        command.add_argument("--country", default="", help="whose public holidays are known: ISO 3166, as GB or GB-ENG")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    if given.command == "run":
        from forecast.run import run
        from forecast.storage import Place

        parameters = given.parameters or {
            "lead_days": dict.fromkeys(CLASSES, given.lead_days),
            "service_levels": dict.fromkeys(CLASSES, given.service_level),
            "seeds": given.seed or [1],
            "country": given.country,
        }
        summary = run(given.demand, given.output, given.models, parameters)
        if given.result:
            folder, _, name = given.result.rpartition("/")
            Place(f"{folder or '.'}/").write_json(name, summary)
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    else:
        from forecast.benchmark import report

        sys.stdout.write(report(given.demand, given.folds, given.seeds, given.report, country=given.country))


if __name__ == "__main__":
    main()
