"""The notebooks of a study: which there are, what they are called, and how they open their runs."""

import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora import is_miniature
from ctl_helpers.errors import StudyError
from ctl_helpers.features import Features, extract
from ctl_helpers.protocols import Problem
from ctl_helpers.report.notebooks import SYNTHETIC, Notebook, Page
from ctl_helpers.results.naming import name_of, title_of
from ctl_helpers.results.runs import load_history, load_predictions, load_runs
from ctl_helpers.runs.run import Run, compute
from ctl_helpers.runs.store import RunStore
from ctl_helpers.study.plan import Group, Plan, open_corpora, plan_study
from ctl_helpers.study.settings import Settings, Study, read_study

FEATURES, INSIDE, ACROSS, TABLES = (
    "1_feature_exploration",
    "2_cpac_kfold",
    "3_caam_transfer",
    "4_result_tables",
)
_USUAL = ("own", "transductive", "emotion", "")


def page_name(notebook: str, *words: str) -> str:
    """Name the files of an executed notebook: what is usual is left unsaid.

    Examples
    --------
    >>> page_name("3_caam_transfer", "casia", "emodb", "modern", "transductive", "arousal")
    '3_caam_transfer-casia-emodb-modern-arousal'
    """
    said = [re.sub(r"[^\w.]+", "_", word).strip("_") for word in words if word not in _USUAL]
    return "-".join([notebook, *said])


def list_notebooks(study: Study, plan: Plan, told: Iterable[Group], out: Path) -> list[Notebook]:
    """List the notebooks of a study with their parameters.

    Parameters
    ----------
    study : Study
        Its settings.
    plan : Plan
        Its runs.
    told : iterable of Group
        Groups whose runs are all there.
    out : Path
        The report's folder, from which notebooks are executed.

    Returns
    -------
    list of Notebook
    """
    root, _ = open_corpora(study)
    place = None if study.settings.corpora is None else os.path.relpath(root.absolute(), out)
    common = {"corpora": place, "out": "."}
    notebooks, looked_at = [], {}
    for group in told:
        settings, runs = plan.settings[group], plan.runs[group]
        if not settings.notebooks or group.kind not in ("network", "adaptation"):
            continue
        notebooks.append(_of_group(group, settings, runs, common))
        if group.kind == "network":
            looked_at[group.place[0], runs[0].method.features[0]] = runs[0].spec["method"]
    for (corpus, features), method in looked_at.items():
        notebooks.append(
            Notebook(
                FEATURES,
                page_name(FEATURES, corpus, str(features)),
                f"{name_of(corpus)}, {features} features",
                common | {"corpus": corpus, "features": features},
                tuple(method["features"]),
            )
        )
    if any(settings.notebooks for settings in plan.settings.values()):
        inputs = tuple(sorted(load_runs(RunStore(out / "runs"))["run"]))
        title = "all results"
        notebooks.append(Notebook(TABLES, TABLES, title, {"out": "."}, inputs))
    return sorted(notebooks, key=lambda notebook: notebook.name)


def _of_group(group: Group, settings: Settings, runs: list[Run], common: dict) -> Notebook:
    kept = ("seeds", "epochs")
    across = group.kind == "adaptation"
    kept += ("methods",) if across else ("folds", "divisions", "only", "selection")
    parameters = common | {k: v for k, v in asdict(settings).items() if k in kept}
    parameters = {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()}
    parameters |= {"changes": settings.changes[0], "normalisation": group.normalisation}
    if across:
        parameters |= dict(zip(("source", "target"), group.place, strict=True))
        parameters |= {"scoring": group.protocol, "labels": group.labels}
    else:
        parameters |= {"corpus": group.place[0], "method": settings.methods[0]}
        parameters |= {"protocol": group.protocol}
    notebook = ACROSS if across else INSIDE
    names = tuple(sorted(run.name for run in runs))
    return Notebook(notebook, _name_of(group), _title(group, runs), parameters, names)


def _name_of(group: Group) -> str:
    across = group.kind == "adaptation"
    words = (group.label, group.protocol, group.normalisation, group.labels)
    return page_name(ACROSS if across else INSIDE, *group.place, *words)


def _title(group: Group, runs: list[Run]) -> str:
    method = runs[0].method
    if group.kind == "adaptation":
        usual = [word for word in (group.protocol, group.labels) if word not in _USUAL]
        places = " → ".join(map(name_of, group.place))
        return ", ".join([places, group.label, *usual])
    row = {"corpus": group.place[0], "protocol": group.protocol, "method": method.name}
    row |= {"recipe": method.recipe.name, "normalisation": method.recipe.normalisation}
    return title_of(row)


@dataclass(frozen=True, eq=False)
class Opened:
    """What a notebook opens in one line: its runs, computed where they are missing.

    Parameters
    ----------
    page : Page
        Where its figures and tables are kept.
    title : str
        What the runs are of, in words.
    planned : list of Run
        The runs as they were planned.
    store : RunStore
        Where they are.
    """

    page: Page
    title: str
    planned: list[Run]
    store: RunStore

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row per run; see :func:`ctl_helpers.results.runs.load_runs`."""
        return load_runs(self.store, [run.name for run in self.planned])

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row per test utterance and run."""
        return load_predictions(self.store, self.runs)

    @cached_property
    def honest(self) -> pd.DataFrame:
        """The predictions of the epochs that were not picked by their score on the test part."""
        return self.predictions[self.predictions["selection"] != "best_test"]

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row per epoch and run."""
        return load_history(self.store, self.runs)

    @property
    def problem(self) -> Problem:
        """The first of the problems."""
        return self.planned[0].problem

    @cached_property
    def features(self) -> Features:
        """What the first run looks at."""
        run = self.planned[0]
        return extract(self.problem.manifest, run.method.features[0], samples=self.problem.samples)

    def folder(self, **wanted: str) -> Path:
        """Folder of the first run with these values, such as ``method="source-only"``."""
        rows = self.runs
        for column, value in wanted.items():
            rows = rows[rows[column] == value]
        return self.store.root / rows["run"].iloc[0]


def open_inside(
    corpora: str | None,
    corpus: str,
    method: str = "cpac/quick",
    protocol: str = "kfold",
    normalisation: str = "own",
    out: str = "reports",
    **settings,
) -> Opened:
    """Open the runs of one method inside a corpus for a notebook, computing what is missing.

    Parameters
    ----------
    corpora : path or None
        Folder that holds the corpora; None for the miniature ones.
    corpus, method, protocol, normalisation : str
        The condition; see :class:`ctl_helpers.study.settings.Settings`.
    out : path
        Folder of the report.
    **settings
        Further fields of `Settings`, such as folds, only, seeds, selection, epochs, jobs.

    Returns
    -------
    Opened
    """
    chosen = {"names": [corpus], "protocols": [protocol], "pairs": "none"}
    return _open(corpora, out, chosen, [method], normalisation, settings)


def open_across(
    corpora: str | None,
    source: str,
    target: str,
    methods: Iterable[str] = ("source-only/quick", "caam-mdd/quick"),
    scoring: str = "transductive",
    labels: str = "emotion",
    normalisation: str = "own",
    out: str = "reports",
    **settings,
) -> Opened:
    """Open the runs of methods of one recipe between two corpora, computing what is missing.

    Parameters
    ----------
    corpora : path or None
        Folder that holds the corpora; None for the miniature ones.
    source, target, methods, scoring, labels, normalisation
        The condition; see :class:`ctl_helpers.study.settings.Settings`.
    out : path
        Folder of the report.
    **settings
        Further fields of `Settings`: seeds, epochs, changes, jobs.

    Returns
    -------
    Opened
    """
    chosen = {"protocols": "none", "pairs": [f"{source}:{target}"], "scorings": [scoring]}
    chosen |= {"names": source.split("+") + target.split("+"), "labels": [labels]}
    return _open(corpora, out, chosen, list(methods), normalisation, settings)


def _open(corpora, out, chosen, methods, normalisation, settings) -> Opened:
    settings = {k: v for k, v in settings.items() if v not in (None, [], {})}
    study = read_study(None, chosen | settings | {"corpora": corpora, "out": str(out)})
    block = replace(study.settings, methods=tuple(methods), normalisations=(normalisation,))
    study = replace(study, settings=block, blocks={"": block})
    root, _ = open_corpora(study)
    if is_miniature(root):
        print(SYNTHETIC)
    plan = plan_study(study)
    store = RunStore(Path(out) / "runs")
    if plan.problems and not plan.runs:
        raise StudyError("; ".join(plan.problems))
    failures = compute(plan.all_runs, store, study.settings.jobs)
    if failures:
        raise StudyError("; ".join(dict.fromkeys(failures.values())))
    (group, runs), *others = plan.runs.items()
    if others:
        raise StudyError(f"expected methods of one recipe, got {[g.label for g in plan.runs]}")
    page = Page(Path(out), _name_of(group), is_miniature(root))
    return Opened(page, _title(group, runs), runs, store)
