"""Local clouds for a measurement, and the memory of processes."""

from __future__ import annotations

import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import psutil
from rich.console import Console

from local import lifecycle
from local.services import SERVICES
from local.stack import Stack
from local.supervision import SCHEDULER, Supervisor

SAMPLE_SECONDS = 0.1


def end_on_sigterm() -> None:
    """Makes a SIGTERM end the process as Ctrl-C does, so that what it started is ended, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@contextmanager
def started(*, airflow: bool) -> Iterator[Stack]:
    """A local cloud in a folder and on ports of its own, gone afterwards, also where the benchmark is told to end."""
    end_on_sigterm()
    quiet = Console(quiet=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as sockets:
        probes = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in SERVICES]
        ports = {service.name: probe.getsockname()[1] for service, probe in zip(SERVICES, probes, strict=True)}
        stack = Stack(Path(folder) / "state", ports)
        sockets.close()
        try:
            lifecycle.up(stack, quiet, airflow=airflow)
            yield stack
        finally:
            lifecycle.reset(stack, quiet)


def tree(pid: int) -> list[psutil.Process]:
    """Returns the process and all that come from it; none where it ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def part(stack: Stack, name: str) -> int:
    """Returns the process id of a part of the stack."""
    return next(int(p["pid"]) for p in Supervisor(stack).states() if p["name"] == name)


def tasks(stack: Stack) -> list[psutil.Process]:
    """Returns the processes in which Airflow's tasks run: the scheduler's, without itself."""
    return tree(part(stack, SCHEDULER))[1:]


def resident_bytes(processes: Iterable[psutil.Process]) -> int:
    """Returns the sum of the resident sets; what processes share counts in each."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it ended while we looked
    return total


class Beside:
    """Runs `look` again and again in a thread while the block runs, and once more at its end; raises what it raised."""

    def __init__(self, look: Callable[[], None], seconds: float) -> None:
        self._look, self._seconds, self._done = look, seconds, threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()
        if self._error and exc[0] is None:
            raise self._error

    def _watch(self) -> None:
        try:
            while not self._done.wait(self._seconds):
                self._look()
            self._look()
        except Exception as error:  # raised again by the thread that waits
            self._error = error


class PeakMemory(Beside):
    """The most bytes that the processes which `find` returns held while the block ran: together, and the largest of them."""

    def __init__(self, find: Callable[[], Iterable[psutil.Process]], seconds: float = SAMPLE_SECONDS) -> None:
        super().__init__(self._sample, seconds)
        self.find, self.bytes, self.largest = find, 0, 0

    def _sample(self) -> None:
        held = [resident_bytes([process]) for process in self.find()]
        self.bytes, self.largest = max(self.bytes, sum(held)), max(self.largest, *held, 0)
