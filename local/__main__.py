"""The local cloud's command line; the Makefile calls it: up, down, reset, env, airflow, status, logs, demo."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from ecommerce_elt import aws_names
from rich.console import Console
from rich.table import Table

from local import lifecycle, shell
from local.demo import DemoFailed, run_demo
from local.demo_display import Display
from local.observer import Observer
from local.services import EXTRAS, SERVICES
from local.stack import AIRFLOW_USER, LOGIN, PREFIX, PROJECT_DIR, Stack
from local.supervision import Supervisor, SupervisorDown, members

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
# If the output is not a terminal, tables still need a width for their columns.
WIDTH = None if sys.stdout.isatty() else 120
out, err = Console(width=WIDTH), Console(stderr=True)

State = Annotated[Path, typer.Option(envvar="ECOMMERCE_STATE", help="Folder of all state.")]
With = Annotated[str, typer.Option("--with", help=f"What else is started, with commas between: {', '.join(EXTRAS)}.")]
DEFAULT_STATE = PROJECT_DIR / ".local"


def _fail(message: object) -> NoReturn:
    err.print(f"[red]local cloud:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _known(state: Path) -> Stack:
    stack = Stack.load(state)
    if not stack:
        _fail(f"nothing was started in {state} yet; run: make up")
    return stack


def _wanted(state: Path, ports: dict[str, int], more: str = "", login: bool = False) -> Stack:
    """Returns the running stack, or else one with the requested ports."""
    extras = tuple(sorted(filter(None, more.split(","))))
    if unknown := set(extras) - set(EXTRAS):
        _fail(
            f"{sorted(unknown)[0]!r} is nothing that can be started; expected {', '.join(EXTRAS)}: make up WITH=bigquery"
        )
    extras += (LOGIN,) if login else ()
    running = Stack.load(state)
    if running and Supervisor(running).is_up():
        if not set(extras) <= set(running.extras):
            _fail(f"the stack runs without {', '.join(extras)}; run: make down, and then this again")
        return running
    return Stack(state.resolve(), ports, extras=extras)


def _with_ports(command: Callable[..., None]) -> Callable[..., None]:
    """Returns the command with an option for each port, such as --cloud-port, which all reach it in `ports`."""

    @wraps(command)
    def call(**given: Any) -> None:
        command(ports={service.name: given.pop(service.variable.lower()) for service in SERVICES}, **given)

    own = signature(command, eval_str=True).parameters
    options = [
        Parameter(
            service.variable.lower(),
            Parameter.KEYWORD_ONLY,
            default=service.port,
            annotation=Annotated[int, typer.Option(envvar=service.variable, help=f"Of {service.what}.")],
        )
        for service in SERVICES
    ]
    others = [own[name].replace(kind=Parameter.KEYWORD_ONLY) for name in own if name != "ports"]
    call.__signature__ = Signature([*options, *others])  # type: ignore[attr-defined]
    return call


@app.command()
@_with_ports
def up(
    ports: dict[str, int],
    state: State = DEFAULT_STATE,
    more: With = "",
    login: Annotated[bool, typer.Option("--login", help="Airflow asks for a password, which is printed.")] = False,
) -> None:
    """Start everything, or what is missing of it."""
    stack = _wanted(state, ports, more=more, login=login)
    try:
        lifecycle.up(stack, out)
    except lifecycle.CannotStart as error:
        _fail(error)
    out.print(f'Airflow: {stack.airflow_url}   clients: eval "$(make -s env)"', highlight=False)
    if stack.has_login:
        out.print(f"login: {AIRFLOW_USER}, {stack.secret('airflow_password')}", highlight=False, soft_wrap=True)


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
    """Print lines for a shell, and nothing else: what makes AWS clients and the producer use the local cloud."""
    stack = _known(state)
    for line in shell.lines(stack.user_environment() | stack.warehouse_environment(), os.environ):
        typer.echo(line)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def airflow(context: typer.Context, state: State = DEFAULT_STATE) -> None:
    """Run Airflow's own command line in the environment of the stack, such as: airflow dags test build_marts."""
    command = [sys.executable, "-m", "airflow", *context.args]
    # The variables for psql would make Airflow use the warehouse instead of its metadata database in PostgreSQL.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    raise typer.Exit(subprocess.run(command, env=kept | _known(state).environment(), check=False).returncode)


@app.command()
def status(state: State = DEFAULT_STATE) -> None:
    """Show each part with its restarts, and what the API, tables, delivery stream and failure queues hold."""
    stack = _known(state)
    supervisor = Supervisor(stack)
    try:
        states, restarts = supervisor.states(), supervisor.restarts()
    except SupervisorDown:
        left = members(stack)
        _fail(
            f"down, but {len(left)} processes are left: {[p.pid for p in left]}; run: make down"
            if left
            else "down; run: make up"
        )
    table = Table("part", "state", "pid", "since", "restarts", box=None)
    for part in states:
        good = part["statename"] == "RUNNING"
        since = part["description"].partition("uptime ")[2]
        table.add_row(
            part["name"],
            f"[{'green' if good else 'red'}]{part['statename'].lower()}[/]",
            str(part["pid"] or ""),
            since,
            str(restarts.get(part["name"], 0)),
        )
    out.print(table)
    if any(part["statename"] != "RUNNING" for part in states):
        raise typer.Exit(1)
    out.print(_services(stack))


def _services(stack: Stack) -> Table:
    """Returns a table of the HTTP API, the DynamoDB tables and the delivery stream, with their content."""
    observer = Observer.of(stack)
    table = Table("service", "name", "holds", box=None)
    table.add_row("HTTP API", stack.api_url, "")
    table.add_row(
        "Redshift",
        f"127.0.0.1:{stack.ports['redshift-pg']}",
        "for psql, JDBC, BI tools and dbt; make env says the login",
    )
    for name in (aws_names.invoices(PREFIX), aws_names.customers(PREFIX)):
        count = observer.dynamodb.describe_table(TableName=name)["Table"]["ItemCount"]
        table.add_row("DynamoDB", name, f"{count:,} items")
    [[rows]] = observer.warehouse.query("SELECT COUNT(*) FROM core.firehose_transactions")
    failed = len(observer.keys("firehose/errors/"))
    table.add_row(
        "Firehose", f"{PREFIX}-transactions", f"{rows:,} rows delivered, {failed:,} objects under firehose/errors/"
    )
    for part in (aws_names.RAW_WRITER, aws_names.DYNAMODB_WRITER):
        queue = aws_names.failures_queue(PREFIX, part)
        url = observer.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        waiting = observer.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        table.add_row("given up", queue, f"{waiting['Attributes']['ApproximateNumberOfMessages']} batches")
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
@_with_ports
def demo(
    ports: dict[str, int],
    state: State = DEFAULT_STATE,
    more: With = "",
    data: Annotated[Path | None, typer.Option(help="A file to replay instead of simulated events.")] = None,
    rows: Annotated[int, typer.Option(help="Limits the events; 0 is all of the file, 60,000 simulated.")] = 0,
    feed: Annotated[str, typer.Option(help="The feed of the file.")] = "online_retail",
    replay: Annotated[
        list[str] | None, typer.Argument(help="After --, options of `producer replay` for the file: --date-order dmy")
    ] = None,
) -> None:
    """Start everything, send events, wait until they are in the warehouse, and check that none was lost or doubled."""
    if data and not data.is_file():
        _fail(f"{data}: no such file")
    if replay and not data:
        _fail(f"{' '.join(replay)}: options of a replay need --data")
    stack = _wanted(state, ports, more=more)
    try:
        with Display(out) as display:
            display.show("starting", "the local cloud and Airflow")
            lifecycle.up(stack, out)
            display.finish("starting", "the local cloud and Airflow run")
            run_demo(stack, display, data=data, rows=rows or None, feed=feed, replay=replay or [])
    except (lifecycle.CannotStart, DemoFailed) as error:
        _fail(error)


if __name__ == "__main__":
    sys.exit(app())
