"""A store as a set of facts: operations on one results folder, what has to be known after each, and the laws.

The model is small. An epoch is named by its loss, which no other lineage has; `known` are the epochs on record;
`finished` is what each sweep that ran to its end must be able to rely on until it is changed.
"""

import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from experiments import callbacks
from orchestrator.analysis import status as standing
from orchestrator.console import plan_and_status
from orchestrator.planning import plan as plans
from orchestrator.planning.plan import Plan
from orchestrator.planning.root_key import RootFacts
from orchestrator.report import formats
from orchestrator.spec.sweep import Sweep
from orchestrator.storage import sweep_state
from orchestrator.storage.history import HISTORY
from orchestrator.storage.store import Store
from tests.generated.engines import PATIENCE, Forked, Running, Stuck
from tests.support import engine
from tests.support.silent import TIMINGS
from tests.support.sweeps import small

TRAINER = "tests.generated.lineage_trainer:LineageTrainer"
LOOK = 0.05
"""Seconds between a reader's looks at a store that others write."""
PLAIN: dict[str, Any] = {
    "trainer": TRAINER,
    "optimizers": {"sgd": {"class": "SGD"}},
    "schedules": {"constant": {}},
    "seeds": [0],
    "epochs": 2,
}


class _Short:
    """Shown as it may be written, without what is as by default."""

    def __repr__(self) -> str:
        settings = fields(self)  # type: ignore[arg-type]
        default = [f.default if f.default_factory is MISSING else f.default_factory() for f in settings]
        values = [(f.name, getattr(self, f.name)) for f in settings]
        shown = [f"{n}={v!r}" for (n, v), usual in zip(values, default, strict=True) if v != usual]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, repr=False)
class Run(_Short):
    """Run a sweep, after `changes` to its file, which begins as a copy of the file of `like`.

    `fatal` is the instant of writing at which its process dies, `killed` the second at which it is killed, and
    `worker_killed` that at which the process is that trains for it.
    """

    sweep: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    like: str | None = None
    workers: int = 1
    fatal: int | None = None
    killed: float | None = None
    worker_killed: float | None = None

    @property
    def dies(self) -> bool:
        """Whether it may end before its end."""
        return self.fatal is not None or self.killed is not None


@dataclass(frozen=True, repr=False)
class Clean(_Short):
    """Clean a sweep."""

    sweep: str


@dataclass(frozen=True, repr=False)
class Together(_Short):
    """Begin one after the other, `pause` seconds between them, and let all end."""

    parts: Sequence[Run | Clean]
    pause: float = 0.0
    pace: float = 0.005


@dataclass(frozen=True, repr=False)
class CorruptFile(_Short):
    """Do something to the file of the store that has this number, counted round and round."""

    number: int
    how: str


Operation = Run | Clean | Together | CorruptFile


def script(operations: Sequence[Operation]) -> str:
    """What repeats `operations` from a shell, in the repository's root."""
    lines = "".join(f"    {operation!r},\n" for operation in operations)
    return (
        "python - <<'END'\nfrom pathlib import Path\nfrom tempfile import mkdtemp\n\n"
        "from tests.generated.facts import Clean, Damage, Run, Together, play\n\n"
        f"play([\n{lines}], Path(mkdtemp()))\nEND"
    )


def play(
    operations: Sequence[Operation], folder: Path, start: Callable[..., Running] = Forked, pace: float = 0.0
) -> None:
    """Do `operations` one by one in the empty `folder`; all laws are checked after each. Raises AssertionError."""
    world = World(folder, start, pace)
    for operation in operations:
        world.do(operation)


@dataclass(frozen=True)
class Calm:
    """What a sweep alone in an empty store comes to: rows and epoch keys by trial, the first by key as well."""

    chains: Mapping[str, list[str]]
    rows: Mapping[str, Mapping[str, Any]]
    numbers: str
    best: Mapping[str, str]


@dataclass(frozen=True)
class Finished:
    """What a sweep that ran to its end relies on: the checkpoints and models that it had then."""

    document: Mapping[str, Any]
    checkpoints: frozenset[str]
    models: Mapping[str, str]


class World:
    """One results folder, and the model of it."""

    def __init__(self, folder: Path, start: Callable[..., Running] = Forked, pace: float = 0.0) -> None:
        """The results will lie in `folder`; `start` starts what runs there, whose epochs take `pace` seconds."""
        self._folder, self._start, self._pace = folder, start, pace
        self.results = folder / "results"
        self.documents: dict[str, dict[str, Any]] = {}
        self.known: set[str] = set()
        self.finished: dict[str, Finished] = {}
        self._lines_read = 0
        self._keys: dict[str, str] = {}
        self._rows: dict[str, str] = {}
        self._calm: dict[str, Calm] = {}
        self._root_facts: dict[str, RootFacts] = {}
        self._damaged = False

    def do(self, operation: Operation) -> None:
        """One operation, and then all laws."""
        if isinstance(operation, CorruptFile):
            self._damage(operation)
            return
        together = operation if isinstance(operation, Together) else Together([operation], pace=self._pace)
        parts = [p for p in together.parts if isinstance(p, Run) or p.sweep in self.documents]
        for part in parts:
            if isinstance(part, Run):
                self._edit(part)
        touched = list(dict.fromkeys(part.sweep for part in parts))
        before = {name: self.plan(name) for name in touched}
        results, dead = self._carry_out(parts, together, before)
        lines = self._trained(dead)
        announced = sum(p.epochs.recomputed for p in before.values())
        announced += sum(result.get("again", 0) for result in results if result) if len(parts) > 1 else 0
        self._no_epoch_is_trained_twice(lines, announced)
        self._nothing_is_lost_or_made_up(lines)
        for part, result in zip(parts, results, strict=True):
            if isinstance(part, Run):
                self._ended(part, result, lines, alone=len(parts) == 1, dead=bool(dead))
        self._nothing_needed_is_freed()
        for name in self.documents:
            self._commands_agree(name)
        if len(parts) == 1 and isinstance(parts[0], Run) and parts[0].dies:
            again = self.plan(touched[0]).epochs.recomputed
            assert again <= announced or self._damaged, f"a death costs {again - announced} epochs on record"
        if len(parts) == 1 and isinstance(parts[0], Clean):
            self._nothing_is_left_over()

    # What is done

    def _edit(self, run: Run) -> None:
        beginning = self.documents.get(run.like or run.sweep, self.documents.get(run.sweep, PLAIN))
        document = small(**{**beginning, **run.changes, "name": run.sweep}).document
        self.documents[run.sweep] = dict(document)
        if run.sweep in self.finished and self.finished[run.sweep].document != document:
            del self.finished[run.sweep]
        calm = self.calm(run.sweep)
        for key, row in calm.rows.items():
            self._keys[repr(row["loss"])] = key
            self._rows[key] = _measured(row)

    def _carry_out(
        self, parts: Sequence[Run | Clean], together: Together, before: Mapping[str, Plan]
    ) -> tuple[list[Mapping[str, Any] | None], set[int]]:
        running: list[tuple[Run | Clean, Running, float]] = []
        for number, part in enumerate(parts):
            if number:
                time.sleep(together.pause)
            document, named = self.documents[part.sweep], {}
            if isinstance(part, Run):
                apart = part.worker_killed is not None
                named = {"workers": part.workers, "fatal": part.fatal, "apart": apart}
            verb = "run" if isinstance(part, Run) else "clean"
            started = self._start(verb, document, self._folder, pace=together.pace, **named)
            running.append((part, started, time.monotonic()))
        dying = list(running)
        looked = 0.0
        while [part for part, one, _ in running if not one.ended()]:
            for part, one, since in [*dying]:
                if time.monotonic() - since > PATIENCE:
                    one.kill()
                    raise Stuck(f"does not end: {part}")
                if not isinstance(part, Run):
                    continue
                if part.killed is not None and time.monotonic() - since > part.killed:
                    one.kill()
                    dying.remove((part, one, since))
                elif part.worker_killed is not None and time.monotonic() - since > part.worker_killed:
                    one.kill_worker()
                    dying.remove((part, one, since))
            if time.monotonic() - looked > LOOK:
                for name, plan in before.items():
                    self._readers_see_all(name, plan)
                looked = time.monotonic()
            time.sleep(0.005)
        return [one.result() for _, one, _ in running], {pid for _, one, _ in running for pid in one.dead}

    def _damage(self, damage: CorruptFile) -> None:
        files = sorted(p for p in self.results.rglob("*") if p.is_file() and p.name not in ("lock", "format.json"))
        if not files:
            return
        path = files[damage.number % len(files)]
        content = path.read_bytes()
        if damage.how == "delete" or not content:
            path.unlink()
        elif damage.how == "cut":
            path.write_bytes(content[: len(content) // 2])
        else:
            at = damage.number * 7919 % len(content)
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        self._damaged = True
        self.known = set(_by_key(self.store))
        self.finished.clear()

    # What is known

    @property
    def store(self) -> Store:
        """The store, opened anew."""
        return Store.at(str(self.results))

    def sweep(self, name: str) -> Sweep:
        """The sweep as its file is now."""
        return small(**self.documents[name])

    def plan(self, name: str) -> Plan:
        """The sweep held against the store, as each command does at first."""
        root_facts = self._root_facts.setdefault(name, RootFacts(TRAINER))
        return plans.make(self.sweep(name), self.store, root_facts=root_facts)

    def calm(self, name: str) -> Calm:
        """What the sweep comes to alone in an empty store, which nothing disturbs."""
        document = repr({**self.documents[name], "name": "calm"})
        if document not in self._calm:
            folder = self._folder / "calm"
            store, sweep = Store.at(str(folder)), small(**{**self.documents[name], "name": "calm"})
            outcome = engine.run(sweep, store)
            plan = plans.make(sweep, store)
            assert not plan.unfinished, f"a calm run leaves something to do: {[t.id for t in plan.unfinished]}"
            chains: dict[str, list[str]] = {}
            rows: dict[str, Mapping[str, Any]] = {}
            numbers = engine.numbers(store, sweep.name)
            for row in numbers:
                chains.setdefault(row["trial_id"], []).append(row["epoch_key"])
                rows[row["epoch_key"]] = row
            assert chains.keys() == plan.cursors.keys(), "a calm run's history lacks trials"
            assert outcome.trained == len(rows), "a calm run trains an epoch twice"
            best = {t: _best(keys, rows, sweep.settings.monitor) for t, keys in chains.items()}
            shown = _shown(numbers)
            self._calm[document] = Calm(chains, rows, shown, {t: key for t, key in best.items() if key})
            shutil.rmtree(folder)
        return self._calm[document]

    def _trained(self, dead: set[int]) -> list[str]:
        """The keys that were trained since the last time, but for those whose process died before their record."""
        log = self._folder / "trained"
        text = log.read_text().splitlines() if log.exists() else []
        new = [line.split() for line in text[self._lines_read :]]
        self._lines_read = len(text)
        recorded = _by_key(self.store).keys()
        unplanned = [loss for _, loss in new if loss not in self._keys]
        assert not unplanned, f"trained, though no calm run does: losses {unplanned}"
        keys = [(int(pid), self._keys[loss]) for pid, loss in new]
        times = Counter(key for _, key in keys)
        last = {pid: n for n, (pid, _) in enumerate(keys) if pid in dead}
        return [
            key for n, (pid, key) in enumerate(keys) if last.get(pid) != n or (key in recorded and times[key] == 1)
        ]

    # The laws

    def _no_epoch_is_trained_twice(self, lines: Sequence[str], announced: int) -> None:
        twice = [self._named(key) for key, n in Counter(lines).items() if key not in self.known and n > 1]
        again = [key for key in lines if key in self.known]
        assert not twice or len(again) + len(twice) <= announced, f"trained twice: {twice}"
        assert len(again) <= announced or self._damaged, (
            f"{announced} epochs were to be computed again, {len(again)} were: {[*map(self._named, again)]}"
        )

    def _nothing_is_lost_or_made_up(self, lines: Sequence[str]) -> None:
        recorded = _by_key(self.store)
        lost = (self.known | set(lines)) - recorded.keys()
        assert not lost, f"not on record any more: {[*map(self._named, lost)]}"
        invented = recorded.keys() - self.known - set(lines)
        assert not invented or self._damaged, f"on record, never trained: {[*map(self._named, invented)]}"
        for key, row in recorded.items():
            assert _measured(row) == self._rows[key], f"other numbers than in a calm run: {self._named(key)}"
        self.known = set(recorded)

    def _ended(
        self, run: Run, result: Mapping[str, Any] | None, lines: Sequence[str], alone: bool, dead: bool
    ) -> None:
        if result is None:
            assert run.dies
            return
        if "held" in result:
            assert not alone, result["held"]
            return
        assert not result["failed"], f"failed: {result['failed']}"
        plan, calm, store = self.plan(run.sweep), self.calm(run.sweep), self.store
        assert not plan.unfinished, f"ended, and there is still to do: {[t.id for t in plan.unfinished]}"
        numbers = _shown(engine.numbers(store, run.sweep), run.sweep)
        assert numbers == calm.numbers, f"{run.sweep} has other numbers than a calm run has"
        models, checkpoints = store.models(run.sweep), store.checkpoints.complete()
        missing = {t: best for t, best in calm.best.items() if models.get(t) != best and plan.sweep.save_best}
        assert not missing, f"best models that are not there after a run to the end: {missing}"
        held = {
            key
            for trial, keys in calm.chains.items()
            for key in {keys[-1], calm.best.get(trial, keys[-1]), *_on_the_way(keys, plan.sweep.checkpoints)}
        }
        self.finished[run.sweep] = Finished(
            plan.sweep.document, frozenset(held & checkpoints), models if plan.sweep.save_best else {}
        )
        if not alone:
            return
        assert dead or result["trained"] == len(lines), f"says {result['trained']} trained, {len(lines)} were"
        fresh = {keys[-1] for keys in calm.chains.values()} & set(lines)
        gone = {key for key in fresh - checkpoints if _finite(calm.rows[key])}
        assert not gone, f"trained just now, and their checkpoints are gone: {[*map(self._named, gone)]}"
        assert not store.files.temporaries(), "temporaries are left"
        assert _weights(store) == checkpoints, "weights without a manifest, or the other way round"

    def _nothing_needed_is_freed(self) -> None:
        for name, finished in self.finished.items():
            gone = finished.checkpoints - self.store.checkpoints.complete()
            assert not gone, f"{name} needs checkpoints that were freed: {[*map(self._named, gone)]}"
            models = self.store.models(name)
            assert finished.models.items() <= models.items(), f"{name} has lost models"

    def _commands_agree(self, name: str) -> None:
        plan, calm, store = self.plan(name), self.calm(name), self.store
        checkpoints, models = store.checkpoints.complete(), store.models(name)
        known, new, again, bare = 0, set[str](), set[str](), False
        for trial, keys in calm.chains.items():
            count = next((n for n, key in enumerate(keys) if key not in self.known), len(keys))
            resume = max((n + 1 for n, key in enumerate(keys[:count]) if key in checkpoints), default=0)
            known += count
            new |= set(keys[count:])
            again |= set(keys[resume:count]) if count < len(keys) else set()
            lacking = plan.sweep.save_best and trial in calm.best and models.get(trial) != calm.best[trial]
            bare = bare or (count == len(keys) and lacking)
        epochs = plan.epochs
        assert plan_and_status.as_json(plan)["epochs"]["known"] == epochs.known == known, (name, epochs, known)
        assert epochs.total == epochs.known + epochs.shared + epochs.new, (name, epochs)
        count = epochs.recomputed
        assert count == len(again) or (bare and count > len(again)), (name, epochs, len(again))
        if all(
            len(keys) == plan.cursors[t].chain.epochs and not plan.cursors[t].chain.plateau
            for t, keys in calm.chains.items()
        ):
            assert epochs.new == len(new), (name, epochs, len(new))
        status = standing.status(plan, sweep_state.read(store, name), datetime.now(UTC))
        assert status["epochs"]["done"] == known, (name, status)
        ended = sum(cursor.ending is not None for cursor in plan.cursors.values())
        assert status["trials"]["completed"] + status["trials"]["diverged"] == ended, (name, status)
        assert status["trials"]["running"] == 0, (name, status)
        if name in self.finished:
            comparison = standing.comparison(plan, sweep_state.read(store, name))
            recipes = json.loads(formats.render("json", comparison))["recipes"]
            assert len(recipes) == len({id(t.recipe) for t in plan.trials}), name

    def _readers_see_all(self, name: str, before: Plan) -> None:
        """While others write: a reader finds at least what was known before."""
        if self._damaged:
            return
        plan = self.plan(name)
        less = {
            trial: (len(cursor.keys), len(plan.cursors[trial].keys))
            for trial, cursor in before.cursors.items()
            if len(plan.cursors[trial].keys) < len(cursor.keys)
        }
        assert not less, f"a reader sees less than before: {less}"
        state = sweep_state.read(self.store, name)
        standing.status(plan, state, datetime.now(UTC))
        standing.comparison(plan, state)

    def _nothing_is_left_over(self) -> None:
        """After a clean: whatever lies there is held by the current rows of some sweep, or one keeps all."""
        store = self.store
        if self._damaged:
            return
        holders: set[str] = set()
        for name, histories in store.read_all()[0].current.items():
            kept = _kept(store, name)
            for rows in histories.values():
                table = rows.to_pylist()
                keys = [row["epoch_key"] for row in table]
                bests = [_best(keys, dict(zip(keys, table, strict=True)), metric) for metric in callbacks.METRICS]
                holders |= {keys[-1], *(key for key in bests if key), *_on_the_way(keys, kept)}
                holders |= self._resumed(keys, store.checkpoints.complete())
        for name in self.documents:
            plan = self.plan(name)
            holders |= {k for t in plan.trials for k in plan.cursors[t.id].needed(plan.sweep.settings.monitor)}
            holders |= {
                k for t in plan.trials for k in _on_the_way(plan.cursors[t.id].keys, plan.sweep.checkpoints)
            }
        idle = store.checkpoints.complete() - holders
        assert not idle, f"nobody holds the checkpoints of {[*map(self._named, idle)]}"
        assert not store.files.temporaries(), "temporaries are left after a clean"
        assert _weights(store) == store.checkpoints.complete(), "weights without a manifest are left after a clean"

    @staticmethod
    def _resumed(keys: Sequence[str], checkpoints: set[str]) -> set[str]:
        """Where a history of these epochs would go on from."""
        return set([key for key in keys if key in checkpoints][-1:])

    def _named(self, key: str) -> str:
        """The epoch of a key, for people."""
        for calm in self._calm.values():
            if key in calm.rows:
                row = calm.rows[key]
                return f"{row['trial_id']}/{row['epoch']}"
        return key[:12]


def _by_key(store: Store) -> dict[str, Mapping[str, Any]]:
    """One row for each epoch on record that can be read."""
    tables = list(store.read_all()[0].everything())
    rows = pa.concat_tables([HISTORY.empty_table(), *tables]).to_pylist()
    return {row["epoch_key"]: row for row in rows}


def _kept(store: Store, sweep: str) -> str:
    """Which checkpoints a sweep keeps, as it was last run."""
    try:
        kept: str = json.loads(store.files.read(f"{sweep}/sweep.json")).get("checkpoints", "needed")
    except FileNotFoundError:
        return "needed"
    return kept


def _on_the_way(keys: Sequence[str], kept: str) -> set[str]:
    """The epochs whose checkpoints stay besides the newest and the best."""
    ladder = (2, 4, 7, 11, 17, 26, 40)
    return {key for epoch, key in enumerate(keys, 1) if kept == "all" or (kept == "ladder" and epoch in ladder)}


def _weights(store: Store) -> set[str]:
    return {name.removesuffix(".safetensors") for name in store.files.names("checkpoints", ".safetensors")}


def _finite(row: Mapping[str, Any]) -> bool:
    return all(math.isfinite(row[metric]) for metric in callbacks.METRICS)


def _best(keys: Sequence[str], rows: Mapping[str, Mapping[str, Any]], monitor: str) -> str | None:
    """The best epoch, unless it has no weights because it is not finite."""
    best = callbacks.best_epoch([rows[key] for key in keys], monitor)
    return keys[best] if best is not None and _finite(rows[keys[best]]) else None


def _measured(row: Mapping[str, Any]) -> str:
    """What was measured in an epoch, to the bit."""
    return repr(
        [
            row[name]
            for name in (
                "epoch",
                *callbacks.METRICS,
                *callbacks.TEST_METRICS,
                "learning_rate",
                "learning_rate_end",
            )
        ]
    )


def _shown(numbers: Sequence[Mapping[str, Any]], name: str = "calm") -> str:
    """A history's numbers, to the bit, whatever the sweep is called."""
    assert all(row["sweep"] == name for row in numbers)
    return repr([{k: v for k, v in row.items() if k not in (*TIMINGS, "sweep")} for row in numbers])
