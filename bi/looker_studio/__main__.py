"""Prints the link that creates a Looker Studio report on BigQuery's marts: `python -m bi.looker_studio --project P`.

The Linking API (Looker Studio developer documentation, "Linking API", BigQuery connector) accepts BigQuery tables. It
has no Redshift connector; docs/looker-studio.md describes how to add Redshift by hand.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import typer
from ecommerce_elt.dashboards.data_sets import DATA_SETS

CREATE = "https://lookerstudio.google.com/reporting/create"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def link(project: str, dataset: str, report: str) -> str:
    """Returns the URL that opens a new report with each data set's table as a data source."""
    parameters = {"c.mode": "edit", "r.reportName": report}
    for number, data_set in enumerate(DATA_SETS):
        source = {
            "connector": "bigQuery",
            "type": "TABLE",
            "projectId": project,
            "datasetId": dataset,
            "tableId": data_set.id,
            "datasourceName": data_set.title,
        }
        parameters |= {f"ds.ds{number}.{key}": value for key, value in source.items()}
    return f"{CREATE}?{urlencode(parameters)}"


@app.command()
def show(
    project: Annotated[str, typer.Option(help="Google Cloud project with the BigQuery data set.")],
    dataset: Annotated[str, typer.Option(help="BigQuery data set with a view for each data set.")] = "ecommerce_bi",
    report: Annotated[str, typer.Option(help="Name of the new report.")] = "E-commerce",
) -> None:
    """Print the link."""
    typer.echo(link(project, dataset, report))


if __name__ == "__main__":
    app()
