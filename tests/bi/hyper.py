"""Reads a Tableau extract."""

from tableauhyperapi import Connection, HyperProcess, Telemetry


def tables(file):
    """Name to (name and type of each column, rows)."""
    with (
        HyperProcess(Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, parameters={"log_config": ""}) as hyper,
        Connection(hyper.endpoint, file) as connection,
    ):
        names = connection.catalog.get_table_names("public")
        return {
            name.name.unescaped: (
                [(c.name.unescaped, str(c.type)) for c in connection.catalog.get_table_definition(name).columns],
                connection.execute_list_query(f"SELECT * FROM {name}"),
            )
            for name in names
        }
