"""The grid of a study: every run it asks for, planned first, then computed in one go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora import load_manifest
from ctl_helpers.errors import StudyError
from ctl_helpers.features.functionals import FEATURE_SETS, describe, has_opensmile
from ctl_helpers.features.mfcc import Features, extract, resampled
from ctl_helpers.methods.experiments import cross_validate, emotions_of
from ctl_helpers.methods.shallow import METHODS, baseline_cross_validate, baseline_transfer
from ctl_helpers.methods.transfers import shared, transfer, transfer_features
from ctl_helpers.parallel import cores, parallel_map
from ctl_helpers.protocols.inside import make_splits, pick_splits
from ctl_helpers.report.pages import environment
from ctl_helpers.runs.store import RunStore
from ctl_helpers.study.settings import OWN, Settings, cpac_recipe, transfer_recipe

_PER_SECOND = 100  # utterances that a core of a laptop of the 2020s trains on in a second, roughly


@dataclass(frozen=True)
class Group:
    """Runs that one notebook tells together.

    Parameters
    ----------
    kind : {"cpac", "transfer", "baseline"}
        CPAC inside one corpus, methods across two, or a shallow method on either.
    places : tuple of str
        The corpus, or source and target.
    recipe : str
        Name of the recipe, or of the shallow method.
    protocol : str
        Across corpora the scoring.
    normalisation : str
        In place of the recipe's own; empty where it is that.
    labels : str
        Across corpora, what is told apart.
    """

    kind: str
    places: tuple[str, ...]
    recipe: str
    protocol: str = ""
    normalisation: str = ""
    labels: str = "emotion"


@dataclass(frozen=True)
class Task:
    """A run, ready to be sent to a process.

    Parameters
    ----------
    group : Group
        Where it belongs.
    call : callable
        Computes the run, unless it is there, and returns its rows of `results.load_runs`.
    work : float
        Utterances times epochs.
    runs : int
        How many it is: a shallow method computes all its splits in one go.
    """

    group: Group
    call: Callable[..., pd.DataFrame]
    work: float
    runs: int = 1


@dataclass
class Plan:
    """The runs of a study, and why others are not part of it.

    Parameters
    ----------
    tasks : list of Task
        A run each.
    problems : list of str
        A line for each corpus, protocol or pair that was left out.
    features : dict
        By corpus and preset.
    """

    tasks: list[Task] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    features: dict[tuple[str, str], Features] = field(default_factory=dict)

    @property
    def groups(self) -> list[Group]:
        """The groups of all tasks, in order."""
        return list(dict.fromkeys(task.group for task in self.tasks))


def read_manifests(
    root: Path, settings: Settings, problems: list[str], say: Callable[[str], None]
) -> dict[str, pd.DataFrame]:
    """Read the corpora; those that cannot be used are named among the problems."""
    manifests = {}
    wanted = dict.fromkeys([*settings.names, *(name for pair in settings.pairs for name in pair)])
    for name in wanted:
        try:
            manifests[name] = manifest = load_manifest(root, name)
        except StudyError as error:
            problems.append(str(error))
            continue
        say(f"{name}: {len(manifest)} utterances, {manifest['emotion'].nunique()} emotions")
    return manifests


def plan_runs(settings: Settings, manifests: dict[str, pd.DataFrame], store: RunStore) -> Plan:
    """Plan every run of a study, and extract the features it needs.

    Parameters
    ----------
    settings : Settings
        From `settings.settle`.
    manifests : dict
        By corpus.
    store : RunStore
        Where the runs go.

    Returns
    -------
    Plan
    """
    plan = Plan()
    for recipe in settings.recipes:
        kinds = _conditions(settings, recipe)
        for name, protocol, kind in product(settings.names, settings.protocols, kinds):
            group = Group("cpac", (name,), recipe, protocol, kind)
            _add(plan, group, manifests, partial(_plan_cpac, settings, store))
        for pair, scoring, labels in product(settings.pairs, settings.scorings, settings.labels):
            group = Group("transfer", pair, recipe, scoring, labels=labels)
            _add(plan, group, manifests, partial(_plan_transfer, settings, store))
    kinds = dict.fromkeys("global" if n == OWN else n for n in settings.normalisations)
    for method in _runnable(settings.baselines, plan.problems):
        for name, protocol, kind in product(settings.names, settings.protocols, kinds):
            group = Group("baseline", (name,), method, protocol, kind)
            _add(plan, group, manifests, partial(_plan_baseline, settings, store))
        for pair, kind in product(settings.pairs, ("corpus", "speaker")):
            group = Group("baseline", pair, method, normalisation=kind)
            _add(plan, group, manifests, partial(_plan_baseline_transfer, settings, store))
    return plan


def _runnable(methods: Sequence[str], problems: list[str]) -> list[str]:
    """Leave out what needs opensmile where that is missing, and say so once."""
    needing = [m for m in methods if METHODS[m][0] in FEATURE_SETS and not has_opensmile()]
    if needing:
        problems.append(
            f"baselines {', '.join(needing)}: expected the package opensmile, found none; install "
            "the extra: pip install 'ctl-helpers[baselines]'"
        )
    return [method for method in methods if method not in needing]


def _conditions(settings: Settings, recipe: str) -> list[str]:
    """Normalisations to run a recipe with, each once; the empty one is its own."""
    own = (OWN, cpac_recipe(recipe).normalisation)
    return list(dict.fromkeys("" if n in own else n for n in settings.normalisations))


def _add(plan: Plan, group: Group, manifests: Mapping, planned: Callable) -> None:
    if any(name not in manifests for name in group.places):
        return
    try:
        plan.tasks += planned([manifests[name] for name in group.places], plan, group)
    except StudyError as error:
        said = str(error)
        where = " -> ".join(group.places)
        plan.problems.append(said if group.places[0] in said else f"{where}: {said}")


def _once(plan: Plan, key: tuple, make: Callable[[], Features]) -> Features:
    if key not in plan.features:
        plan.features[key] = make()
    return plan.features[key]


def _plan_cpac(settings, store, manifests, plan, group) -> list[Task]:
    (manifest,) = manifests
    recipe = cpac_recipe(group.recipe, settings.epochs, group.normalisation)
    emotions_of(manifest)
    splits = make_splits(manifest, group.protocol, settings.folds)
    pick_splits(splits, settings.only)
    key = (*group.places, recipe.features)
    features = _once(plan, key, lambda: extract(manifest, recipe.features, settings.jobs))
    resampled(features, recipe.resampled, settings.jobs)  # once, on all cores: then they are cached
    chosen = {"protocol": group.protocol, "folds": settings.folds, "selection": settings.selection}
    call = partial(cross_validate, features, recipe, store=store, jobs=1, **chosen)
    return [
        Task(group, partial(call, seeds=[seed], only=[index]), len(split.train) * recipe.epochs)
        for seed in settings.seeds
        for index, split in enumerate(splits)
        if settings.only is None or index in settings.only
    ]


def _plan_transfer(settings, store, sides, plan, group) -> list[Task]:
    recipe = transfer_recipe(group.recipe, settings.epochs)
    features = [
        _once(
            plan,
            (name, recipe.features, "shared"),
            partial(transfer_features, side, recipe.features),
        )
        for name, side in zip(group.places, sides, strict=True)
    ]
    kept = shared(*features, group.labels)
    for side in kept:
        resampled(side, recipe.resampled, settings.jobs)
    work = 2 * max(len(side.manifest) for side in kept) * recipe.epochs
    chosen = {"scoring": group.protocol, "labels": group.labels}
    call = partial(transfer, *features, recipe, store=store, jobs=1, **chosen)
    return [
        Task(group, partial(call, method=method, seeds=[seed]), work)
        for seed in settings.seeds
        for method in settings.methods
    ]


def _plan_baseline(settings, store, manifests, plan, group) -> list[Task]:
    (manifest,) = manifests
    splits = pick_splits(make_splits(manifest, group.protocol, settings.folds), settings.only)
    functionals, _ = METHODS[group.recipe]
    describe(manifest, functionals, jobs=settings.jobs)  # once, on all cores: then it is cached
    chosen = {"protocol": group.protocol, "folds": settings.folds, "only": settings.only}
    chosen |= {"normalisation": group.normalisation, "store": store, "jobs": 1}
    call = partial(baseline_cross_validate, manifest, group.recipe, **chosen)
    return [Task(group, call, sum(len(split.train) for split in splits), len(splits))]


def _plan_baseline_transfer(settings, store, sides, plan, group) -> list[Task]:
    functionals, _ = METHODS[group.recipe]
    for side in sides:
        describe(side, functionals, jobs=settings.jobs, across=True)
    chosen = {"normalisation": group.normalisation, "store": store, "jobs": 1}
    call = partial(baseline_transfer, *sides, group.recipe, **chosen)
    return [Task(group, call, len(sides[0]))]


def forecast(tasks: list[Task]) -> str:
    """Say roughly how long tasks take that have yet to be computed."""
    seconds = sum(task.work for task in tasks) / (_PER_SECOND * cores())
    unit, size = ("hours", 3600) if seconds > 5400 else ("minutes", 60)
    amount = f"{seconds / size:.0f} {unit}" if seconds >= 90 else "a minute or two"
    runs = sum(task.runs for task in tasks)
    return (
        f"{runs} runs, computed unless they are there already: about {amount} "
        f"if each of {cores()} cores trains on {_PER_SECOND} utterances a second"
    )


def train(tasks: list[Task], settings: Settings, problems: list[str]) -> dict[Group, set[str]]:
    """Compute all tasks side by side, the longest first.

    Returns
    -------
    dict
        Names of the run folders by group. A group of which a run failed is left out, and named
        among the problems.
    """
    order = sorted(tasks, key=lambda task: -task.work)
    jobs = settings.jobs or cores()
    threads = max(1, cores() // jobs)
    found = parallel_map(partial(_compute, threads), order, settings.jobs, "training", unit="run")
    runs: dict[Group, set[str]] = {task.group: set() for task in tasks}
    for task, outcome in zip(order, found, strict=True):
        if isinstance(outcome, list):
            runs[task.group].update(outcome)
    for task, outcome in zip(order, found, strict=True):
        if isinstance(outcome, str):
            runs.pop(task.group, None)
            if outcome not in problems:
                problems.append(outcome)
    return runs


def _compute(threads: int, task: Task) -> list[str] | str:
    """Names of a task's run folders, or what went wrong in a line."""
    # The variable is joblib's: what this process takes for the number of cores.
    with environment(LOKY_MAX_CPU_COUNT=str(threads), CTL_PROGRESS="0", TF_CPP_MIN_LOG_LEVEL="3"):
        try:
            return list(task.call()["run"])
        except StudyError as error:
            return str(error)
        except MemoryError:
            return f"{' -> '.join(task.group.places)}: the memory was not enough; try --jobs 1"
