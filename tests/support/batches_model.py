"""A model of claim, load, publish and commit: every interleaving of two runs, crashes and zombies, by `check`.

What it describes is in manifests.claim, load/batch_load.py, load/transaction.py and publish.publish_batch; each action here names the
step there. A run that stops for a while and goes on later is only another interleaving, so zombies need nothing of their own.

    python -m tests.support.batches_model     prints how many states there are, or the shortest way to one that breaks a promise

The promises, in every state: core has no event twice (I2), and the lake's lists have none twice. And in every state in which
nothing is left to do: core and the lists have each event once, in its highest version, and no batch is open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

COMPACTED = -1


@dataclass(frozen=True)
class Run:
    """One run of load_events: where it is, and what it remembers."""

    at: str = "look"
    in_open: frozenset[int] = frozenset()
    received: frozenset[int] = frozenset()
    batches: tuple[int, ...] = ()  # to load
    was_committed: bool = False
    gone: frozenset[int] = frozenset()  # what it read in ops.correction


@dataclass(frozen=True)
class State:
    events: tuple[int, ...] = (0, 1)  # one raw object each
    queue: tuple[int, ...] = (0, 1)  # visible messages, by event; S3 may send one twice
    in_flight: tuple[int, ...] = ()
    manifests: tuple[frozenset[int], ...] = ()  # events of each batch
    open: frozenset[int] = frozenset()  # markers
    audit: frozenset[int] = frozenset()  # committed batches
    core: tuple[int, ...] = ()  # events, as often as they are there
    known: frozenset[tuple[int, int]] = frozenset()  # (batch, event) that core had before the batch
    files: frozenset[int] = frozenset()  # what the day's list names: batches, and what compaction made
    compacted: frozenset[int] = frozenset()  # batches whose file is part of the compacted one
    runs: tuple[Run, ...] = (Run(), Run())
    corrects: tuple[tuple[int, int], ...] = ()  # (one, other): the event of one replaces that of the other
    replaced: frozenset[int] = frozenset()  # ops.correction
    taken_out: frozenset[tuple[int, int]] = frozenset()  # (batch, event) that the batch's file in the lists has no more
    crashes: int = 0  # that may still happen
    repeats: int = 0  # messages that S3 or SQS may still repeat

    def events_of(self, batch: int) -> frozenset[int]:
        """What a batch adds to the lists: the events that core had not before, each in the highest version of the batch."""
        own = self.manifests[batch]
        return frozenset(e for e in own if (batch, e) not in self.known and not self.newer(e) & own)

    def newer(self, event: int) -> frozenset[int]:
        return frozenset(one for one, other in self.corrects if other == event)

    def older(self, event: int) -> frozenset[int]:
        return frozenset(other for one, other in self.corrects if one == event)

    @property
    def latest(self) -> frozenset[int]:
        return frozenset(self.events) - {other for _, other in self.corrects}

    @property
    def lake(self) -> list[int]:
        named = [batch for batch in self.files if batch != COMPACTED]
        named += self.compacted if COMPACTED in self.files else ()
        return [event for batch in named for event in self.events_of(batch) if (batch, event) not in self.taken_out]

    def without(self, gone: frozenset[int]) -> State:
        """The lists, changed in one write each, without the events that were replaced."""
        there = (self.files - {COMPACTED}) | (self.compacted if COMPACTED in self.files else frozenset())
        return replace(self, taken_out=self.taken_out | {(b, e) for b in there for e in self.events_of(b) & gone})

    @property
    def is_done(self) -> bool:
        return not self.queue and not self.in_flight and not self.open and all(run.at == "look" for run in self.runs)


@dataclass(frozen=True)
class Rules:
    """Which of the protocol's precautions are taken; without any one of them `check` finds a broken promise."""

    delete_after_manifest: bool = True  # messages are deleted only when the manifest and its marker are written
    audit_in_transaction: bool = True  # a batch that is in the audit is not loaded again
    drop_known: bool = True  # events that core has are not merged again, and not published again
    publish_before_close: bool = True
    look_at_notes: bool = True  # a file that compaction has replaced is not published again
    look_for_corrections_again: bool = True  # after the lists were written, for those that were committed meanwhile


def steps(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Yields (what happens, the state after it) of everything that can happen next."""
    for number, run in enumerate(state.runs):
        name = "AB"[number]
        for what, after, changed in _run_steps(state, run, rules):
            yield f"{name} {what}", replace(after, runs=_with(state.runs, number, changed))
        if state.crashes and run.at != "look":
            yield f"{name} dies", replace(state, crashes=state.crashes - 1, runs=_with(state.runs, number, Run()))
    if state.in_flight:
        yield "visibility timeout", replace(state, queue=_sorted(state.queue + state.in_flight), in_flight=())
    if state.repeats:
        for event in state.events:
            yield (
                f"{event} is announced again",
                replace(state, queue=_sorted((*state.queue, event)), repeats=state.repeats - 1),
            )
    small = state.files - {COMPACTED}
    if small:  # maintain_lake
        files = (state.files - small) | {COMPACTED}
        yield "compaction", replace(state, files=files, compacted=state.compacted | small)


def _with(runs: tuple[Run, ...], number: int, run: Run) -> tuple[Run, ...]:
    """Which of the runs is A makes no difference, so that they are kept in order."""
    return tuple(sorted((*runs[:number], run, *runs[number + 1 :]), key=_key))


def _key(run: Run) -> tuple[object, ...]:
    return run.at, sorted(run.in_open), sorted(run.received), run.batches, run.was_committed, sorted(run.gone)


def _sorted(events: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(events))


def _run_steps(state: State, run: Run, rules: Rules) -> Iterator[tuple[str, State, Run]]:
    match run.at:
        case "look":  # claim: open_batches, read_manifest; the batches that were claimed long enough ago are resumed
            in_open = frozenset(e for batch in state.open for e in state.manifests[batch])
            if state.queue:
                yield "looks for open batches", state, Run("receive", in_open)
            if state.open:
                yield "resumes open batches", state, Run("receive", in_open, batches=tuple(sorted(state.open)))
        case "receive":  # ReceiveMessage
            following = "manifest" if rules.delete_after_manifest else "delete"
            # All that waits; an event and its correction one at a time, so that they are in different batches.
            for some in {(e,) for e in state.queue} if state.corrects else {state.queue}:
                rest = list(state.queue)
                for event in some:
                    rest.remove(event)
                after = replace(state, queue=tuple(rest), in_flight=_sorted(state.in_flight + some))
                yield f"receives {some}", after, replace(run, at=following, received=frozenset(some))
        case "manifest":  # loaded_keys, put the manifest
            loaded = frozenset(e for batch in state.audit for e in state.manifests[batch])
            fresh = run.received - run.in_open - loaded
            following = "delete" if rules.delete_after_manifest else "load"
            if not fresh:
                yield "knows all objects", state, replace(run, at=following)
            else:
                batch = len(state.manifests)
                after = replace(state, manifests=(*state.manifests, fresh))
                yield f"writes manifest {batch}", after, replace(run, at="mark", batches=(*run.batches, batch))
        case "mark":  # put the marker
            after = replace(state, open=state.open | {run.batches[-1]})
            yield (
                f"marks {run.batches[-1]} open",
                after,
                replace(run, at="delete" if rules.delete_after_manifest else "load"),
            )
        case (
            "delete"
        ):  # DeleteMessageBatch; messages that came back meanwhile are deleted by their latest receipt alone
            gone = list(run.received)
            kept = []
            for event in state.in_flight:
                if event in gone:
                    gone.remove(event)
                else:
                    kept.append(event)
            following = "load" if rules.delete_after_manifest else "manifest"
            yield "deletes messages", replace(state, in_flight=tuple(kept)), replace(run, at=following)
        case "load":  # committed, and the load transaction
            if not run.batches:
                yield "ends", state, Run()
                return
            batch = run.batches[0]
            was_committed = batch in state.audit
            after = state
            if not (was_committed and rules.audit_in_transaction):
                had = frozenset(state.core)
                known = {(batch, e) for e in state.manifests[batch] if e in had or state.newer(e) & had}
                after = replace(state, known=state.known | known)
                fresh = after.events_of(batch) if rules.drop_known else state.manifests[batch]
                away = frozenset(other for e in fresh for other in state.older(e) & had)
                core = _sorted((*(e for e in state.core if e not in away), *fresh))
                after = replace(after, core=core, replaced=state.replaced | away)
            after = replace(after, audit=state.audit | {batch})
            following = "publish" if rules.publish_before_close else "close"
            yield f"loads {batch}", after, replace(run, at=following, was_committed=was_committed)
        case "publish":  # lake.publish_batch: ops.correction
            yield "looks for corrections", state, replace(run, at="write", gone=state.replaced)
        case "write":  # one conditional write of the list
            batch = run.batches[0]
            looks = run.was_committed or rules.look_at_notes
            there = batch in state.files or (looks and batch in state.compacted)
            files = state.files if there or not state.events_of(batch) - run.gone else state.files | {batch}
            published = replace(state, files=files).without(run.gone)
            if rules.look_for_corrections_again:
                yield f"publishes {batch}", published, replace(run, at="look again")
            else:
                yield f"publishes {batch}", published, _published(run, rules)
        case "look again":  # ops.correction
            yield "looks for corrections again", state, replace(run, at="take out", gone=state.replaced)
        case "take out":  # one conditional write of each list
            yield "takes out what was replaced", state.without(run.gone), _published(run, rules)
        case "close":  # delete the marker
            batch = run.batches[0]
            closed = _next(run) if rules.publish_before_close else replace(run, at="publish")
            yield f"closes {batch}", replace(state, open=state.open - {batch}), closed


def _published(run: Run, rules: Rules) -> Run:
    return replace(run, at="close", gone=frozenset()) if rules.publish_before_close else _next(run)


def _next(run: Run) -> Run:
    return replace(run, at="load", batches=run.batches[1:], was_committed=False, gone=frozenset())


def broken(state: State) -> str | None:
    """Returns which promise the state breaks, or None."""
    if len(set(state.core)) < len(state.core):
        return "an event is twice in core"
    if len(set(state.lake)) < len(state.lake):
        return "an event is twice in the lists"
    if state.is_done and (set(state.core) != state.latest or set(state.lake) != state.latest):
        return "nothing is left to do, and an event is missing, or is there in a lower version"
    return None


def check(rules: Rules | None = None, start: State | None = None) -> tuple[int, str | None, list[str]]:
    """Returns (how many states can be reached, the promise that is broken, the shortest way there); all of them, or up to that."""
    rules, start = rules or Rules(), start or State()
    before: dict[State, tuple[State, str] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        if promise := broken(state):
            way = []
            while (step := before[state]) is not None:
                state, what = step
                way.append(what)
            return len(before), promise, way[::-1]
        for what, after in steps(state, rules):
            if after not in before:
                before[after] = (state, what)
                waiting.append(after)
    return len(before), None, []


# Small enough for every test run; each is checked whole.
STARTS = {
    "two objects": State(),
    "two objects, a crash": State(crashes=1),
    "an event and its correction": State(corrects=((1, 0),)),
    "one object, a crash, a repeated message": State(events=(0,), queue=(0,), crashes=1, repeats=1),
}

if __name__ == "__main__":
    for title, start in STARTS.items():
        states, promise, way = check(start=start)
        print(f"{title}: {states:,} states")  # noqa: T201
        if promise:
            raise SystemExit("\n".join([promise, *way]))
