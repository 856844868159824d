"""The local cloud's command line; the Makefile calls it: up, down, reset, env, status, logs, demo."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from local import lifecycle
from local.demo import DemoFailed, Observer, run_demo
from local.stack import PREFIX, PROJECT_DIR, Stack
from local.supervision import Supervisor, SupervisorDown, members

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
# Where the output is no terminal, a table still needs its columns.
WIDTH = None if sys.stdout.isatty() else 120
out, err = Console(width=WIDTH), Console(stderr=True)

State = Annotated[Path, typer.Option(envvar="ECOMMERCE_STATE", help="Folder of all state.")]
AirflowPort = Annotated[int, typer.Option(envvar="AIRFLOW_PORT")]
CloudPort = Annotated[int, typer.Option(envvar="CLOUD_PORT")]
RedshiftPort = Annotated[int, typer.Option(envvar="REDSHIFT_PORT")]
FirehosePort = Annotated[int, typer.Option(envvar="FIREHOSE_PORT")]
DynamodbPort = Annotated[int, typer.Option(envvar="DYNAMODB_PORT")]
QuicksightPort = Annotated[int, typer.Option(envvar="QUICKSIGHT_PORT")]
GluePort = Annotated[int, typer.Option(envvar="GLUE_PORT")]
DEFAULT_STATE = PROJECT_DIR / ".local"


def _fail(message: object) -> NoReturn:
    err.print(f"[red]local cloud:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _known(state: Path) -> Stack:
    stack = Stack.load(state)
    if not stack:
        _fail(f"nothing was started in {state} yet; run: make up")
    return stack


def _wanted(state: Path, *ports: int) -> Stack:
    """The running stack as it runs; else one on the ports that were asked for, in the order in which Stack has them."""
    running = Stack.load(state)
    if running and Supervisor(running).is_up():
        return running
    return Stack(state.resolve(), *ports)


@app.command()
def up(
    state: State = DEFAULT_STATE, airflow_port: AirflowPort = 8080, cloud_port: CloudPort = 4566,
    redshift_port: RedshiftPort = 4567, firehose_port: FirehosePort = 4568, dynamodb_port: DynamodbPort = 4569,
    quicksight_port: QuicksightPort = 4570, glue_port: GluePort = 4571,
) -> None:  # fmt: skip
    """Start everything, or what is missing of it."""
    ports = (airflow_port, cloud_port, redshift_port, firehose_port, dynamodb_port, quicksight_port, glue_port)
    stack = _wanted(state, *ports)
    try:
        lifecycle.up(stack, out)
    except lifecycle.CannotStart as error:
        _fail(error)
    out.print(f'Airflow: {stack.airflow_url}   clients: eval "$(make -s env)"', highlight=False)


@app.command()
def down(state: State = DEFAULT_STATE) -> None:
    """Stop everything; the state stays."""
    stack = Stack.load(state)
    if not stack:
        out.print("nothing was running")
        return
    try:
        lifecycle.down(stack, out)
    except lifecycle.CannotStart as error:
        _fail(error)


@app.command()
def reset(state: State = DEFAULT_STATE) -> None:
    """Stop everything and remove the state."""
    try:
        lifecycle.reset(Stack.load(state) or Stack(state.resolve()), out)
    except lifecycle.CannotStart as error:
        _fail(error)


@app.command()
def env(state: State = DEFAULT_STATE) -> None:
    """Print export lines for AWS clients and the producer, and nothing else."""
    for name, value in _known(state).user_environment().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def status(state: State = DEFAULT_STATE) -> None:
    """Show each part with its restarts, and what the API, tables, delivery stream and failure queues hold."""
    stack = _known(state)
    supervisor = Supervisor(stack)
    try:
        states, restarts = supervisor.states(), supervisor.restarts()
    except SupervisorDown:
        left = members(stack)
        _fail(f"down, but {len(left)} processes are left: {[p.pid for p in left]}; run: make down" if left
              else "down; run: make up")  # fmt: skip
    table = Table("part", "state", "pid", "since", "restarts", box=None)
    for part in states:
        good = part["statename"] == "RUNNING"
        since = part["description"].partition("uptime ")[2]
        table.add_row(part["name"], f"[{'green' if good else 'red'}]{part['statename'].lower()}[/]",
                      str(part["pid"] or ""), since, str(restarts.get(part["name"], 0)))  # fmt: skip
    out.print(table)
    if any(part["statename"] != "RUNNING" for part in states):
        raise typer.Exit(1)
    out.print(_services(stack))


def _services(stack: Stack) -> Table:
    """The HTTP API, the tables and the delivery stream, with what they hold."""
    observer = Observer.of(stack)
    table = Table("service", "name", "holds", box=None)
    table.add_row("HTTP API", stack.api_url, "")
    for name in ("invoices", "customers"):
        count = observer.dynamodb.describe_table(TableName=f"{PREFIX}-{name}")["Table"]["ItemCount"]
        table.add_row("DynamoDB", f"{PREFIX}-{name}", f"{count:,} items")
    [[rows]] = observer.warehouse.query("SELECT COUNT(*) FROM core.firehose_transactions")
    failed = len(observer.keys("firehose/errors/"))
    table.add_row(
        "Firehose", f"{PREFIX}-transactions", f"{rows:,} rows delivered, {failed:,} objects under firehose/errors/"
    )
    for part in ("raw-writer", "dynamodb-writer"):
        url = observer.sqs.get_queue_url(QueueName=f"{PREFIX}-{part}-failures")["QueueUrl"]
        waiting = observer.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        table.add_row(
            "given up", f"{PREFIX}-{part}-failures", f"{waiting['Attributes']['ApproximateNumberOfMessages']} batches"
        )
    return table


@app.command()
def logs(
    state: State = DEFAULT_STATE,
    part: Annotated[str, typer.Option(help="One part; all by default.")] = "",
    follow: Annotated[bool, typer.Option()] = True,
) -> None:
    """Show the logs of all parts, or of one."""
    stack = _known(state)
    files = sorted(stack.logs.glob(f"{part or '*'}.log"))
    if not files:
        _fail(f"no log of {part!r}; there are {', '.join(p.stem for p in sorted(stack.logs.glob('*.log')))}")
    try:
        subprocess.run(["tail", "-n", "20", *(["-F"] if follow else []), *map(str, files)], check=True)  # noqa: S607
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command()
def demo(
    state: State = DEFAULT_STATE, airflow_port: AirflowPort = 8080, cloud_port: CloudPort = 4566,
    redshift_port: RedshiftPort = 4567, firehose_port: FirehosePort = 4568, dynamodb_port: DynamodbPort = 4569,
    quicksight_port: QuicksightPort = 4570, glue_port: GluePort = 4571,
    data: Annotated[Path | None, typer.Option(help="A file to replay instead of simulated events.")] = None,
    rows: Annotated[int, typer.Option(help="Limits the events; 0 is all of the file, 60,000 simulated.")] = 0,
    feed: Annotated[str, typer.Option(help="The feed of the file.")] = "online_retail",
) -> None:  # fmt: skip
    """Start everything, send events, wait until they are in the warehouse, and check that none was lost or doubled."""
    if data and not data.is_file():
        _fail(f"{data}: no such file")
    ports = (airflow_port, cloud_port, redshift_port, firehose_port, dynamodb_port, quicksight_port, glue_port)
    stack = _wanted(state, *ports)
    try:
        lifecycle.up(stack, out)
        run_demo(stack, out, data=data, rows=rows or None, feed=feed)
    except (lifecycle.CannotStart, DemoFailed) as error:
        _fail(error)


if __name__ == "__main__":
    sys.exit(app())
