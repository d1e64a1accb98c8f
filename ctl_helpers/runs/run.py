"""A run: one method on one problem with one seed, and how it is executed and recorded."""

import os
import platform
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.errors import StudyError
from ctl_helpers.features import extract, is_array
from ctl_helpers.methods import Method, Outcome
from ctl_helpers.methods.network import NetworkMethod
from ctl_helpers.parallel import cores, environment, parallel_map
from ctl_helpers.plugins import is_reference
from ctl_helpers.protocols import Problem
from ctl_helpers.runs import FORMAT
from ctl_helpers.runs.model import save_network
from ctl_helpers.runs.store import (
    ARCHIVED,
    ClaimedError,
    RunStore,
    spec_hash,
    write_record,
    write_text,
)
from ctl_helpers.runs.tracking import track
from ctl_helpers.scores import not_probabilities, scores
from ctl_helpers.versions import version_of

_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "numpy", "scipy", "librosa")
_PACKAGES += ("opensmile", "speechpy", "soxr", "soundfile", "scikit-learn", "pandas", "joblib")


@dataclass(frozen=True, eq=False)
class Run:
    """One method on one problem with one seed: a pure function of its specification.

    Parameters
    ----------
    problem : Problem
        Without features: these are extracted when the run is executed.
    method : Method
        What solves it.
    seed : int
        0 for methods that draw nothing.
    """

    problem: Problem
    method: Method
    seed: int = 0

    @cached_property
    def spec(self) -> dict:
        """The specification: all that its numbers depend on, JSON."""
        keys = [self.problem.feature_key(features) for features in self.method.features]
        keys += [key for member in self.members for key in member.changeable]
        return {
            "format": FORMAT,
            "problem": self.problem.spec,
            "method": self.method.spec() | {"features": keys},
            "seed": self.seed,
            "selection": self.method.selection,
            "versions": self.method.versions(),
        }

    @property
    def changeable(self) -> list[str]:
        """Keys of features, its own and its members', that one name does not tell apart.

        Files of the user's may change, and so may the length of signals.
        """
        keys = [
            self.problem.feature_key(one)
            for one in self.method.features
            if self.problem.length or is_array(one) or is_reference(str(one))
        ]
        return keys + [key for member in self.members for key in member.changeable]

    @cached_property
    def name(self) -> str:
        """The name of its folder: the specification's hash."""
        return spec_hash(self.spec)

    @cached_property
    def members(self) -> tuple["Run", ...]:
        """The runs whose predictions it needs."""
        return tuple(seeded(self.problem, m, self.seed) for m in self.method.members)

    @property
    def needed(self) -> list["Run"]:
        """The run, its members, and theirs."""
        return [self, *(run for member in self.members for run in member.needed)]


def seeded(problem: Problem, method: Method, seed: int) -> Run:
    """Make a run; a method that draws nothing has seed 0."""
    return Run(problem, method, seed if method.seeded else 0)


def _watched(run: Run) -> str:
    """Name the training that watches its test part and ends as a run does; "" for other runs."""
    if run.method.selection != "last" or not isinstance(run.method, NetworkMethod):
        return ""
    return replace(run, method=replace(run.method, selection="best_test")).name


def stored_as(run: Run, store: RunStore) -> str:
    """Name under which a store holds the last epoch of a run, or the run's own if it does not."""
    watched = _watched(run)
    return watched if not store.has(run.name) and watched and store.has(watched) else run.name


def missing_of(runs: Iterable[Run], store: RunStore) -> list[Run]:
    """List the runs that a store does not hold, each once, and before them what they need."""
    runs = list(runs)
    wanted = {run.name for run in runs}
    found: dict[str, Run] = {}
    for run in runs:
        if not store.has(run.name):
            needed = [one for one in run.members if not store.has(stored_as(one, store))]
            needed = [one for one in needed if _watched(one) not in wanted]  # it will be there
            for one in (*missing_of(needed, store), run):
                found.setdefault(one.name, one)
    return list(found.values())


def compute(
    runs: Iterable[Run], store: RunStore, jobs: int | None = None, description: str = "training"
) -> dict[str, str]:
    """Compute the runs that a store does not hold yet, side by side, the longest first.

    Runs that another process is computing come last.

    Parameters
    ----------
    runs : iterable of Run
        What is wanted; the members of fusions are added.
    store : RunStore
        Where they go.
    jobs : int, optional
        Processes, each on its share of the cores; by default one per core.
    description : str
        What the progress bar says.

    Returns
    -------
    dict
        What went wrong in a line, by the name of the run; empty where all are there.
    """
    missing = missing_of(runs, store)
    failures = _extract_all(missing, jobs)
    missing = [run for run in missing if run.name not in failures]
    missing.sort(key=lambda run: -run.method.work(run.problem))
    alone = [run for run in missing if not run.members]
    threads = max(1, cores() // (jobs or cores()))
    work = partial(_execute_safely, store=store, threads=threads)
    for step in (partial(work, waits=False), work):  # what other processes compute comes last
        said = parallel_map(step, alone, jobs, description, unit="run", dead=_dead)
        failures |= {run.name: line for run, line in zip(alone, said, strict=True) if line}
        alone = [run for run, line in zip(alone, said, strict=True) if line is None]
    for run in missing:
        if run.members:  # in this process: a mean takes no time
            if failed := [m for m in run.members if {m.name, _watched(m)} & failures.keys()]:
                failures[run.name] = f"{_where(run)}: its member {failed[0].method.label} failed"
            elif line := _execute_safely(run, store, cores()):
                failures[run.name] = line
    return failures


def _dead(run: Run) -> str:
    return f"{_where(run)}: its process dies; is there enough memory?"


def _extract_all(runs: Iterable[Run], jobs: int | None) -> dict[str, str]:
    """Extract what the runs look at once, on all cores: workers then read the cache.

    Return why it cannot be done, in a line, by the name of the run.
    """
    said: dict[tuple, str] = {}
    failures = {}
    for run in runs:
        for features in run.method.features:
            what = (id(run.problem.manifest), features, run.problem.samples)
            if what not in said:
                said[what] = ""
                try:
                    extract(run.problem.manifest, features, jobs, samples=run.problem.samples)
                except StudyError as error:
                    said[what] = f"{run.method.label} on {run.problem.place}: {error}"
            if said[what]:
                failures[run.name] = said[what]
    return failures


def _where(run: Run) -> str:
    return f"{run.method.label} on {run.problem.place}, {run.problem.split}, seed {run.seed}"


def _execute_safely(run: Run, store: RunStore, threads: int, waits: bool = True) -> str | None:
    """Execute a run in a worker; give back what went wrong in a line, or an empty one.

    None if another process is computing the run, unless this one ``waits`` for it.
    """
    # LOKY_MAX_CPU_COUNT is joblib's: what this process takes for the number of cores.
    with environment(LOKY_MAX_CPU_COUNT=str(threads), CTL_PROGRESS="0"):
        file = store.root / f"{run.name}.error.txt"
        try:
            execute(run, store, waits)
            file.unlink(missing_ok=True)
        except ClaimedError:
            return None
        except StudyError as error:
            return f"{_where(run)}: {error}"
        except MemoryError:
            return f"{_where(run)}: out of memory; try --jobs 1"
        except (Exception, SystemExit) as error:  # of a network or classifier of one's own, say
            with suppress(StudyError):  # a disk that is full costs the traceback alone
                write_text(file, traceback.format_exc())
            reason = " ".join(str(error).split())[:200]
            return f"{_where(run)}: {type(error).__name__}: {reason} (see {file})"
    return ""


def execute(run: Run, store: RunStore, waits: bool = True) -> Path:
    """Execute a run, unless the store holds it, and record it; return its folder."""
    return store.compute(run.spec, partial(_record, run, store), waits)


def _record(run: Run, store: RunStore, folder: Path) -> None:
    started = time.time()
    planned = run.problem.extracted(run.method.features, jobs=1, retry=False)
    problem, members = _with_members(planned, run, store)
    try:
        outcome = run.method.run(problem, run.seed, folder, members)
    except OSError as error:  # such as a file that somebody's own network reads
        raise StudyError(f"it raised {type(error).__name__}: {error}") from error
    if run.spec["method"] != run.spec["method"] | run.method.spec():
        raise StudyError("a file of your own was edited while it ran; start the study again")
    _check(outcome, problem, run.method.label)
    predictions = _predictions(problem, outcome)
    predictions.to_csv(folder / "predictions.csv", index=False, float_format="%.5f")
    if outcome.history:
        history = pd.DataFrame(outcome.history)
        history.to_csv(folder / "history.csv", index=False, float_format="%.6g")
    if outcome.embeddings:
        np.savez_compressed(folder / "embeddings.npz", **outcome.embeddings)
    if outcome.model is not None:
        save_network(outcome.model, outcome.card, folder / "model.keras")
    for leftover in folder.glob("checkpoint*"):
        leftover.unlink()
    aside = outcome.details.get("validation", 0)
    scored = _scores(predictions, outcome.epochs)
    adapted = problem.unlabelled if run.method.adapts else problem.adapt
    record = {
        "scores": scored,
        "utterances": {
            "train": len(problem.train) - aside,
            "validation": aside,
            "adapt": len(adapted),
            "test": len(problem.test),
        },
        "of_folds": problem.of_folds,
        "of_utterances": problem.of_utterances,
        "data": problem.data,
        "corpora": problem.versions,
        "synthetic": problem.synthetic,
        "held_out": problem.held_out,
        **({"left_out": planned.left_out} if planned.left_out else {}),
        "seconds": round(time.time() - started, 2),
        "peak_memory_mb": peak_memory(),
        "environment": describe_environment(),
    }
    write_record(folder, record | dict(outcome.details))
    where = {"corpus": problem.place, "protocol": problem.protocol, "split": problem.split}
    facts = where | {"method": run.method.label, "seed": run.seed}
    flat = {f"{s} {n}": v for s, block in scored.items() for n, v in block.items()}
    track(run.name, facts, flat, outcome.history)


def _check(outcome: Outcome, problem: Problem, label: str) -> None:
    for probabilities in outcome.probabilities.values():
        if wrong := not_probabilities(probabilities, (len(problem.test), len(problem.classes))):
            raise StudyError(f"{label}: {wrong}")


def _predictions(problem: Problem, outcome: Outcome) -> pd.DataFrame:
    """Make a row per selection and test utterance: metadata, label, prediction, probabilities."""
    columns = ["utterance", "corpus", "speaker", "sex", "emotion"]
    part = problem.manifest[columns].iloc[problem.test].reset_index(drop=True)
    names, blocks = np.array(problem.classes), {}
    for selection, probabilities in outcome.probabilities.items():
        blocks[selection] = part.assign(predicted=names[np.argmax(probabilities, axis=1)])
        blocks[selection][[f"p_{name}" for name in names]] = probabilities
    return pd.concat(blocks, names=["selection"]).reset_index("selection")


def _scores(predictions: pd.DataFrame, epochs: Mapping[str, int]) -> dict[str, dict]:
    found = {}
    for selection, block in predictions.groupby("selection", sort=False):
        found[selection] = scores(block["emotion"].to_numpy(), block["predicted"].to_numpy())
        if selection in epochs:
            found[selection]["epoch"] = epochs[selection]
    return found


def _with_members(problem: Problem, run: Run, store: RunStore) -> tuple[Problem, list[np.ndarray]]:
    """Read the probabilities of a run's members; what one of them left out is not tested."""
    tested = pd.MultiIndex.from_frame(problem.manifest.iloc[problem.test][["corpus", "utterance"]])
    tables = []
    for member in run.members:
        name = stored_as(member, store)
        table = store.tables("predictions.csv", [name])
        table = table[table["selection"] == member.method.selection]
        if table.empty:
            raise StudyError(f"run {name}: expected its predictions, found none")
        names = [f"p_{name}" for name in member.problem.classes]
        table = table.set_index(["corpus", "utterance"])[names]
        if len(table) == len(problem.test):  # the same sounds in this order, however called now
            table.index = tested
        elif strange := int((~table.index.isin(tested)).sum()):
            raise StudyError(
                f"its member {member.method.label} calls {strange} utterances otherwise; if files "
                f"were renamed, remove {store.root / name}"
            )
        tables.append(table)
    if not tables:
        return problem, []
    there = np.logical_and.reduce([tested.isin(table.index) for table in tables])
    if not there.any():
        raise StudyError("its members have no utterance in common")
    probabilities = [t.loc[tested[there]].map(ARCHIVED.__mod__).to_numpy(float) for t in tables]
    return replace(problem, test=problem.test[there]), probabilities


def peak_memory() -> int:
    """Greatest resident memory of this process so far, in MB."""
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def describe_environment() -> dict:
    """Describe what a number was computed with: packages, commit, backend, device."""
    described = {
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := version_of(name))},
        "commit": _commit(),
        "cores": os.cpu_count(),
        "threads": cores(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": f"CPU {platform.machine()}",
    }
    if "keras" in sys.modules:
        from ctl_helpers.networks import backend

        described["backend"] = backend.keras.backend.backend()
        described["device"] = backend.device()
    return described


def _commit() -> str:
    """Name the commit of this package; "" where it is installed, be it inside a repository."""
    own = _git("ls-files", Path(__file__).name)
    return own and _git("describe", "--always", "--dirty", "--abbrev=12")


def _git(*words: str) -> str:
    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
