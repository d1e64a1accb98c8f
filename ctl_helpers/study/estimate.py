"""How long runs will take: from the seconds of past runs, or from a few timed steps."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.methods.network import NetworkMethod
from ctl_helpers.parallel import cores, parallel_map
from ctl_helpers.results.runs import load_runs
from ctl_helpers.runs.run import Run, missing_of
from ctl_helpers.runs.store import RunStore

_STEP = 0.01  # seconds an utterance of a network that cannot be timed
_WORTH_TIMING = 60.0  # seconds, at that rate; to time a network's steps takes some ten
_SHALLOW = 3.0  # seconds of a shallow run that has never been timed; its features come on top


def estimate(runs: Iterable[Run], store: RunStore) -> tuple[int, float]:
    """Estimate the runs that are missing.

    Parameters
    ----------
    runs : iterable of Run
        Of a plan.
    store : RunStore
        What is there is not computed again; its past seconds tell how long others take.

    Returns
    -------
    count : int
        How many runs are missing.
    seconds : float
        On one core.
    """
    missing, rates = missing_of(runs, store), _past_seconds(store)
    work: dict = defaultdict(float)
    for run in missing:
        work[_key(run)] += run.method.work(run.problem)
    new = {_key(r): r for r in missing if isinstance(r.method, NetworkMethod)}
    new = {key: run for key, run in new.items() if key not in rates}
    long = {key: run for key, run in new.items() if work[key] * _STEP > _WORTH_TIMING}
    # In a process that ends: a network's memory would else stay until the study ends.
    timed = parallel_map(_time_steps, long.values(), 1, "timing", apart=True, dead=lambda _: _STEP)
    rates |= dict.fromkeys(new, _STEP) | dict(zip(long, timed, strict=True))
    total = 0.0
    for run in missing:
        amount, key = run.method.work(run.problem), _key(run)
        total += rates[key] * amount if key in rates else _SHALLOW * bool(amount)
    return len(missing), total


def _key(run: Run) -> tuple[str, str]:
    return run.method.name, run.method.spec()["recipe"]["name"]


def costs(blocks: Mapping[str, Sequence[Run]], store: RunStore) -> pd.DataFrame:
    """Add up what the blocks of a study have cost.

    Returns
    -------
    DataFrame
        A row per block: block, runs, how many of them are there, and the hours that these took,
        each on one core.
    """
    runs = load_runs(store).drop_duplicates("run")
    rows = []
    for block, planned in blocks.items():
        there = runs[runs["run"].isin({run.name for run in planned})]
        hours = there["seconds"].sum() / 3600
        rows.append({"block": block, "runs": len(planned), "there": len(there), "hours": hours})
    return pd.DataFrame(rows).round({"hours": 2})


def sentence(count: int, seconds: float, jobs: int | None = None) -> str:
    """Say an estimate in words.

    Examples
    --------
    >>> sentence(10, 7200.0, jobs=2)
    '10 runs to compute: about 60 minutes on 2 cores'
    """
    if not count:
        return "no runs to compute: what is wanted now is there"
    used = min(jobs or cores(), count)
    seconds /= used
    unit, size = ("hours", 3600) if seconds > 5400 else ("minutes", 60)
    amount = f"{seconds / size:.0f} {unit}" if seconds >= 90 else "a minute or two"
    several = "s" if count > 1 else ""
    return f"{count} run{several} to compute: about {amount} on {used} core{'s' * (used > 1)}"


def _past_seconds(store: RunStore) -> dict[tuple[str, str], float]:
    """Seconds per unit of work (utterances times epochs) by method and recipe, the median run."""
    runs = load_runs(store).drop_duplicates("run")
    epochs = runs["epochs"].where(runs["epochs"] > 0, 1)
    # The test part stands for what was adapted to, which is as large.
    rows = 2 * runs[["train_utterances", "utterances"]].max(axis=1)
    rows = rows.where(runs["kind"] == "adaptation", runs["train_utterances"])
    seconds = (runs["seconds"] / (rows * epochs)).astype(float)
    seconds = seconds[np.isfinite(seconds) & (seconds > 0)]
    return seconds.groupby([runs["method"], runs["recipe"]]).median().to_dict()


def _time_steps(run: Run) -> float:
    """Time a few training steps of a network, in seconds per utterance."""
    try:
        return _seconds_of_a_step(run)
    except (Exception, SystemExit):
        return _STEP  # of a network of the user's own, say, that fails: its runs will name it


def _seconds_of_a_step(run: Run, steps: int = 3) -> float:
    from ctl_helpers.networks import backend, build, training

    method: Any = run.method
    recipe, classes = method.recipe, len(run.problem.classes)
    backend.prepare(0, 1)  # runs have a core each
    shape = _shape(run)
    model = build(recipe, shape, classes)
    training.compile_model(model, recipe, recipe.batch_size)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(recipe.batch_size, *shape)).astype(np.float32)
    labels = np.eye(classes, dtype=np.float32)[rng.integers(classes, size=len(features))]
    step = backend.training_step(model, features, labels)
    step(features, labels)
    started = time.perf_counter()
    for _ in range(steps):
        step(features, labels)
    return (time.perf_counter() - started) / steps / len(features)


def _shape(run: Run) -> tuple[int, ...]:
    from ctl_helpers.features import extract, is_array
    from ctl_helpers.features.ways import shape_of, way_of

    problem, shapes = run.problem, []
    for features in run.method.features:
        if is_array(features):
            shapes.append(extract(problem.manifest, features).values.shape[1:])
        else:
            way = way_of(features, problem.manifest, problem.samples)
            shapes.append(way.shape or shape_of(way))
    vectors = len(shapes[0]) == 1  # side by side, as one frame
    return (1, sum(values for (values,) in shapes)) if vectors else shapes[0]
