"""Runs as notebooks 2 (inside a corpus), 3 (across corpora) and 4 (all of a report) show them."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.corpora import SYNTHETIC
from ctl_helpers.errors import StudyError
from ctl_helpers.methods import parse
from ctl_helpers.methods.network import normalised
from ctl_helpers.networks.saved import SavedLayer, read_network
from ctl_helpers.protocols import Problem, problems_inside, validation_part
from ctl_helpers.report import tables
from ctl_helpers.report.findings import Findings
from ctl_helpers.report.notebooks import Page, listed, page_name
from ctl_helpers.results import comparisons, spaces
from ctl_helpers.results import runs as results
from ctl_helpers.results.naming import OURS, method_of, name_of
from ctl_helpers.results.runs import OPTIMISTIC
from ctl_helpers.runs.run import compute, seeded
from ctl_helpers.runs.store import RunStore
from ctl_helpers.study.pages import TABLES, page_of
from ctl_helpers.study.plan import open_corpora, plan_study
from ctl_helpers.study.settings import read_study


class Opened:
    """Runs of one condition, computed where they were missing.

    Parameters
    ----------
    methods : iterable of str
        Methods, of one recipe.
    normalisation : str
        See :class:`ctl_helpers.study.settings.Settings`.
    **chosen
        Further fields of `Settings`.

    Attributes
    ----------
    page : Page
        Where figures and tables are kept.
    title : str
        What the runs are of, in words.
    planned : list of Run
        The runs as they were planned.
    store : RunStore
        Where they are.
    runs, predictions, history, scores : DataFrame
        From `runs.load_runs`, `runs.load_predictions`, `runs.load_history` and
        `tables.ours_beside_published`.
    honest : DataFrame
        The predictions of the epochs that were not picked by their score on the test part.
    """

    def __init__(self, methods: Iterable[str], normalisation: str = "own", **chosen: Any):
        methods = methods if isinstance(methods, str) else list(methods)  # papermill's -p: a word
        asked = {"methods": methods, "normalisations": [normalisation]}
        study = read_study(None, chosen | asked)
        settings, out = study.settings, Path(study.settings.out)
        open_corpora(study, print)
        plan = plan_study(study)
        if not plan.runs:
            places = ", ".join(settings.pairs or settings.names)
            said = f"expected methods for {places}, got {', '.join(settings.methods)}"
            raise StudyError("; ".join(plan.problems) or said)
        (group, self.planned), *others = plan.runs.items()
        if others:
            raise StudyError(f"expected methods of one recipe, got {[g.label for g in plan.runs]}")
        notebook, words, self.title = page_of(group, self.planned)
        self.store = RunStore(out / "runs")
        if failures := compute(self.planned, self.store, settings.jobs):
            raise StudyError("; ".join(dict.fromkeys(failures.values())))
        synthetic = self.planned[0].problem.synthetic
        self.page = Page(out, page_name(notebook, words), synthetic)
        self.runs = results.load_runs(self.store, [run.name for run in self.planned])
        self.predictions = results.load_predictions(self.store, self.runs)
        self.honest = self.predictions[self.predictions["selection"] != OPTIMISTIC]
        self.history = results.load_history(self.store, self.runs)
        self.scores = tables.ours_beside_published(self.runs, self.predictions)

    @cached_property
    def problem(self) -> Problem:
        """The first of the problems, with what the first method looks at."""
        run = self.planned[0]
        return run.problem.extracted(run.method.features[:1])

    def chance(self) -> str:
        """Say what a guess reaches."""
        return f"a guess reaches {100 / len(self.planned[0].problem.classes):.1f} %"


class OpenedInside(Opened):
    """Runs of one method inside one corpus."""

    @cached_property
    def network(self) -> list[SavedLayer]:
        """The layers of the first run's network; none where it was not kept."""
        saved = self.store.root / self.planned[0].name / "model.keras"
        return read_network(saved) if saved.is_file() else []

    @cached_property
    def space(self) -> spaces.Space | None:
        """The test utterances of the first run as points: their embeddings; an archive has none."""
        folder = self.store.root / self.planned[0].name
        return spaces.run_space(folder) if (folder / "embeddings.npz").is_file() else None

    def tested(self, utterance: int = 0) -> tuple[np.ndarray, pd.Series]:
        """Give a test utterance as the first run's network got it, and its row of predictions."""
        run, problem = self.planned[0], self.problem
        method: Any = run.method
        train = problem.train
        if method.selection == "validation":
            train, _ = validation_part(train, problem.manifest, problem.held_out, seed=run.seed)
        inputs = normalised(problem, method.recipe, train, run.seed)[problem.test[[utterance]]]
        return inputs[0], self.honest[self.honest["run"] == run.name].iloc[utterance]

    @cached_property
    def both_protocols(self) -> pd.DataFrame:
        """Scores with shuffled folds and with held-out speakers, of methods that have both.

        Where none of the report has, those of ``mfcc+linear``, which takes a second and is not
        kept. Empty where speakers are not known.
        """
        runs = results.study_runs(self.page.out)
        runs = runs[(runs["corpus"] == self.problem.corpus) & (runs["selection"] != OPTIMISTIC)]
        condition = runs["protocol"].map(tables.condition_of)
        runs = runs[condition.isin([tables.SHUFFLED, tables.HELD_OUT])]
        methods = [runs[name] for name in ("method", "recipe", "normalisation")]
        both = condition[runs.index].groupby(methods).transform("nunique") > 1
        table = tables.ours_beside_published(runs[both] if both.any() else self._shallow())
        return table[table["reported_by"] == OURS]

    def _shallow(self) -> pd.DataFrame:
        problem, method = self.problem, parse("mfcc+linear")
        with tempfile.TemporaryDirectory() as folder:
            with suppress(StudyError):  # the corpus names no speakers, or a single one
                problems = problems_inside(problem.manifest, "kfold", problem.folds or 5)
                problems += problems_inside(problem.manifest, "loso")
                runs = [seeded(one, method, 0) for one in problems]
                compute(runs, RunStore(Path(folder)), jobs=1)
            return results.load_runs(folder)

    def leak(self):
        """Say what a voice is worth that was heard in training."""
        both = tables.side_by_side(self.both_protocols)
        lines = [
            f"{method}: {shuffled:.1f} % with shuffled folds, {held_out:.1f} % with speakers that "
            f"were never heard, a difference of {shuffled - held_out:.1f} points."
            for (_, method), shuffled, held_out in both.itertuples()
        ]
        nobody = (
            "The corpus names no speakers: none can be held out, and training and test may share "
            "voices."
        )
        named = self.problem.manifest["speaker"].ne("").any()
        return listed(*lines or ["No method ran both ways on all folds." if named else nobody])

    def seen(self):
        """Say in sentences what was seen."""
        honest, gap = self.honest, comparisons.gap(self.runs).query("metric == 'UAR'")
        mine = self.scores[self.scores["reported_by"] == OURS]
        score = mine[~mine["optimistic"]].iloc[0]
        emotions = tables.scores_by(honest).round({"recall": 0})  # several may be alike
        ranks = list(emotions.groupby("recall")["emotion"])
        (low, weak), (high, strong) = ranks[0], ranks[-1]
        speakers = tables.scores_by(honest, "speaker")["uar"]
        wrong = honest[honest["emotion"].isin(weak) & honest["predicted"].ne(honest["emotion"])]
        taken = f", most often taken for *{wrong['predicted'].mode()[0]}*" if len(wrong) else ""
        sure = honest.filter(regex="^p_").max(axis=1).mean()
        right = honest["emotion"].eq(honest["predicted"]).mean()
        return listed(
            f"UAR is {score.uar:.1f} %, WAR {score.war:.1f} %; {self.chance()}.",
            f"Best recognised: *{', '.join(strong)}* ({high:.0f} %); worst: *{', '.join(weak)}* "
            f"({low:.0f} %){taken}.",
            f"The UAR of single speakers is {speakers.min():.0f} to {speakers.max():.0f} %."
            * (len(speakers) > 1),
            f"The best test epoch differs from the last by {gap['gap'].iloc[0]:+.1f} points of UAR."
            if len(gap)
            else "",
            f"Mean confidence is {100 * sure:.0f} %, and {100 * right:.0f} % are right: it "
            f"is {'too sure' if sure > right else 'less sure than it could be'}.",
        )


class OpenedAcross(Opened):
    """Runs of several methods from a source to a target."""

    def by_method(self, frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
        """Give each method, how it is written, and its rows of a frame with the column run."""
        for row, runs in results.grouped(self.runs, ["method", "recipe", "normalisation"]):
            yield row["method"], method_of(row), frame[frame["run"].isin(runs["run"])]

    @cached_property
    def before_and_after(self) -> dict[str, spaces.Space]:
        """Source and target as points: their features, then the embeddings of each method."""
        found = {spaces.BEFORE: spaces.feature_space(self.problem.features[0])}
        for _, name, runs in self.by_method(self.runs):
            folder = self.store.root / runs["run"].iloc[0]
            if (folder / "embeddings.npz").is_file():
                found[name] = spaces.run_space(folder)
        return found

    @cached_property
    def distances(self) -> pd.DataFrame:
        """Proxy A-distance of source and target, before and after."""
        return spaces.distances(self.store, self.runs, self.before_and_after[spaces.BEFORE])

    @cached_property
    def gains(self) -> pd.DataFrame:
        """What each method adds to source only; see `comparisons.gains`."""
        return comparisons.gains(self.runs, self.predictions)

    def seen(self):
        """Say in sentences what was seen."""
        scores = self.scores[self.scores["reported_by"] == OURS]
        best = scores.loc[scores["uar"].idxmax()]
        lines = [f"The best is {method_of(best)}: UAR {best.uar:.1f} %; {self.chance()}."]
        for row in self.gains.itertuples():
            utterances = _ends(row.pooled_difference_low, row.pooled_difference_high)
            trainings = _ends(row.difference_low, row.difference_high)
            lines.append(
                f"{name_of(row.method)}: {row.difference:+.1f} points over source only (95 % over "
                f"utterances: {utterances}; over trainings: {trainings}): "
                f"{comparisons.how_sure(row._asdict())}."
            )
        apart = self.distances.set_index("method")["distance"]
        apart_by = ", ".join(f"{name_of(name)} {value:.2f}" for name, value in apart.items())
        lines += [f"Proxy A-distance of the two corpora: {apart_by}."] if len(apart) else []
        return listed(*lines)


def _ends(low: float, high: float) -> str:
    return "–" if np.isnan(low) else f"{low:+.1f} to {high:+.1f}"


def open_inside(
    corpora: str | None, corpus: str, method: str = "cpac/quick", protocol: str = "kfold", **more
) -> OpenedInside:
    """Open the runs of one method inside a corpus for a notebook, computing what is missing.

    Parameters
    ----------
    corpora : path or None
        Folder that holds the corpora; None for the miniature ones.
    corpus, method, protocol : str
        The condition; see :class:`ctl_helpers.study.settings.Settings`.
    **more
        ``normalisation``, and further fields of `Settings`: out (the report's folder), folds,
        only, seeds, selection, epochs, jobs.
    """
    chosen = {"names": [corpus], "protocols": [protocol], "pairs": "none"}
    return OpenedInside([method], **chosen | more | {"corpora": corpora})


def open_across(
    corpora: str | None,
    source: str,
    target: str,
    methods: Iterable[str] = ("source-only/quick", "caam-mdd/quick"),
    scoring: str = "transductive",
    labels: str = "emotion",
    **more,
) -> OpenedAcross:
    """Open the runs of methods of one recipe between two corpora, computing what is missing.

    Parameters
    ----------
    corpora : path or None
        Folder that holds the corpora; None for the miniature ones.
    source, target, methods, scoring, labels
        The condition; see :class:`ctl_helpers.study.settings.Settings`.
    **more
        ``normalisation``, and further fields of `Settings`: out (the report's folder), seeds,
        epochs, changes, jobs.
    """
    chosen = {"protocols": "none", "pairs": [f"{source}:{target}"], "scorings": [scoring]}
    chosen |= {"names": source.split("+") + target.split("+"), "labels": [labels]}
    return OpenedAcross(methods, **chosen | more | {"corpora": corpora})


def open_report(out: str = "reports") -> tuple[Page, Findings]:
    """Open all runs of a report, the folder ``out``, for a notebook."""
    if not Path(out).is_dir():
        raise StudyError(f"out {out}: expected the folder of a report, found none")
    found = Findings(out)
    if found.synthetic:
        print(SYNTHETIC)
    return Page(Path(out), TABLES, found.synthetic), found
