"""The parameters of the DAG load_history: how a file is read, and what is done with its rows."""

from __future__ import annotations

from airflow.sdk import Param


def load_history_params() -> dict[str, Param]:
    """Returns the parameters by name, in the order in which the trigger form shows them."""
    return {
        "key": Param(type="string", minLength=1, description="Of the file: landing/<feed>/<name>."),
        "engine": Param("auto", enum=["auto", "duckdb", "glue"], description="What cleans; auto decides by size."),
        "encoding": Param("", type="string", description="Of a file that is not UTF-8 or UTF-16."),
        "delimiter": Param("", type="string", description="If none of , ; tab | splits the header."),
        "date_order": Param("", enum=["", "mdy", "dmy", "ymd"], description="Where the dates fit several."),
        "decimal_comma": Param(
            None,
            type=["null", "boolean"],
            description="Whether 1,500 is one and a half (true) or one thousand five hundred (false); empty: the file decides.",
        ),
        "sheet": Param("", type="string", description="Of a workbook with several that fit, or a hidden one."),
        "columns": Param({}, type="object", description='Key to header of the file: {"InvoiceNo": "Rechnung"}.'),
        "data_set": Param("", type="string", description="Names the data; else its SHA-256 does. Never guess it."),
        "event_version": Param(
            1,
            type="integer",
            minimum=1,
            description="Above 1: corrects the data set that data_set names, which was loaded by identity file.",
        ),
        "identity": Param(
            "",
            enum=["", "file", "rows"],
            description="What tells rows apart: their values (rows), or the file and the line (file); empty: the contract says.",
        ),
        "on_known": Param(
            "stop",
            enum=["stop", "skip", "add"],
            description="What becomes of rows that core has under other ids, such as the shop's own: nothing is loaded (stop), "
            "the others are loaded (skip), or all are, and these are there twice (add).",
        ),
        "replace_by": Param(
            "",
            type="string",
            description="A column, such as invoice_no: of each of its values in the file, rows that core has and the file lacks are "
            "taken out. Empty: nothing is taken out.",
        ),
        "to_dynamodb": Param(
            False,
            type="boolean",
            description="Whether the items of DynamoDB, which the HTTP API answers from, get the file's lines, too.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            description="With replace_by: says in the report what would be taken out, and loads nothing.",
        ),
        "etag": Param("", type="string", description="Of the file that is meant; set by watch_landing."),
        "more": Param(
            [],
            type="array",
            items={"type": "object", "required": ["key", "etag"]},
            description="Further files of the feed, each with key and etag; set by watch_landing.",
        ),
    }
