"""The notebooks of a study: which there are, what they are called, how they open what they show.

A notebook imports from here and opens what it shows in one line: `open_corpus`, `open_inside`,
`open_across` or `open_report`. What they give says at the end, from its numbers, what was seen.
"""

import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ctl_helpers.corpora import Audit, audit, is_miniature, load_manifest, read_audio
from ctl_helpers.errors import StudyError
from ctl_helpers.features import PRESETS, Features, extract, normalise
from ctl_helpers.methods import parse
from ctl_helpers.methods.network import normalised
from ctl_helpers.protocols import Problem, problems_inside, validation_part
from ctl_helpers.report import figures, index, tables
from ctl_helpers.report.figures import teaching
from ctl_helpers.report.findings import Findings, findings
from ctl_helpers.report.notebooks import SYNTHETIC, Notebook, Page, page_name
from ctl_helpers.results import comparisons, spaces
from ctl_helpers.results.naming import OURS, method_of, name_of, title_of
from ctl_helpers.results.published import published
from ctl_helpers.results.runs import load_history, load_predictions, load_runs
from ctl_helpers.runs.run import Run, compute, seeded
from ctl_helpers.runs.store import RunStore
from ctl_helpers.study.plan import Group, Plan, open_corpora, plan_study
from ctl_helpers.study.settings import Settings, Study, read_study

__all__ = [
    *("comparisons", "figures", "list_notebooks", "open_across", "open_corpus"),
    *("open_inside", "open_report", "spaces", "tables", "teaching"),
]

FEATURES, INSIDE, ACROSS, TABLES = (
    "1_feature_exploration",
    "2_cpac_kfold",
    "3_caam_transfer",
    "4_result_tables",
)
_USUAL = ("own", "transductive", "emotion", "")


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
    told_of = {"emotions": dict(study.settings.emotions), "columns": dict(study.settings.columns)}
    common |= {name: words for name, words in told_of.items() if words}
    notebooks, looked_at = [], {}
    for group in told:
        settings, runs = plan.settings[group], plan.runs[group]
        if not settings.notebooks or group.kind not in ("network", "adaptation"):
            continue
        notebooks.append(_of_group(group, settings, runs, common, plan))
        features = runs[0].method.features[0]
        if group.kind == "network" and features in PRESETS:
            looked_at[group.place[0], features] = runs[0].spec["method"]["features"]
    for (corpus, features), keys in looked_at.items():
        title = f"{name_of(corpus)}, {features} features"
        parameters = common | {"corpus": corpus, "features": features}
        notebooks.append(Notebook(FEATURES, (corpus, features), title, parameters, tuple(keys)))
    if any(settings.notebooks for settings in plan.settings.values()):
        inputs = tuple(sorted(set(index.study_runs(out)["run"])))
        parameters = {"corpora": place, "out": "."}
        notebooks.append(Notebook(TABLES, (), "all results", parameters, inputs))
    return sorted(notebooks, key=lambda notebook: notebook.name)


def _of_group(
    group: Group, settings: Settings, runs: list[Run], common: dict, plan: Plan
) -> Notebook:
    across = group.kind == "adaptation"
    kept = ("methods",) if across else ("folds", "divisions", "only", "selection")
    kept += ("seeds", "epochs")
    parameters = common | {k: v for k, v in asdict(settings).items() if k in kept}
    parameters = {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()}
    parameters |= {"changes": settings.changes[0], "normalisation": group.normalisation}
    if across:
        parameters |= dict(zip(("source", "target"), group.place, strict=True))
        parameters |= {"scoring": group.protocol, "labels": group.labels}
    else:
        parameters |= {"corpus": group.place[0], "method": settings.methods[0]}
        parameters |= {"protocol": group.protocol}
    # Inside a corpus the page tells of other protocols, too.
    read = [some for other, some in plan.runs.items() if other.place == group.place]
    inputs = tuple(sorted({run.name for some in [runs, *read] for run in some}))
    kind = ACROSS if across else INSIDE
    return Notebook(kind, _words(group), _title(group, runs), parameters, inputs)


def _words(group: Group) -> list[str]:
    """Say what sets a page apart from others of its kind; what is usual is left out."""
    label = dict.fromkeys(group.label.split("/"))
    words = (*group.place, *label, group.protocol, group.normalisation, group.labels)
    return [word for word in words if word not in _USUAL]


def _title(group: Group, runs: list[Run]) -> str:
    method = runs[0].method
    if group.kind == "adaptation":
        usual = [word for word in (group.protocol, group.labels) if word not in _USUAL]
        places = " → ".join(map(name_of, group.place))
        return ", ".join([places, group.label, *usual])
    row = {"corpus": group.place[0], "protocol": group.protocol, "method": method.name}
    row |= {"recipe": method.recipe.name, "normalisation": method.recipe.normalisation}
    return title_of(row)


def _sentences(*sentences: str):
    """Show sentences as a list."""
    from IPython.display import Markdown

    return Markdown("\n".join(f"- {sentence}" for sentence in sentences if sentence))


@dataclass(frozen=True, eq=False)
class OpenedCorpus:
    """A corpus and what a network sees of it.

    Parameters
    ----------
    page : Page
        Where figures and tables are kept.
    audit : Audit
        The corpus compared with what was published of it.
    manifest : DataFrame
        A row per utterance.
    features : Features
        What the network sees.
    """

    page: Page
    audit: Audit
    manifest: pd.DataFrame
    features: Features

    @cached_property
    def picked(self) -> pd.DataFrame:
        """One utterance per emotion, of one speaker and sentence as far as that goes."""
        return figures.one_per_emotion(self.manifest)

    def signal(self, row: pd.Series) -> np.ndarray:
        """Read the samples of one utterance, a row of the manifest."""
        return read_audio(
            row["path"], self.features.settings.sampling_rate, row["start"], row["end"]
        )

    def listen(self, row: pd.Series):
        """Show a player of one utterance."""
        from IPython.display import Audio

        return Audio(self.signal(row), rate=self.features.settings.sampling_rate)

    def utterances(self) -> Figure:
        """Draw one utterance per emotion."""
        signals = {row["emotion"]: self.signal(row) for _, row in self.picked.iterrows()}
        steps = {
            emotion: teaching.mfcc_steps(signal, self.features.settings).coefficients
            for emotion, signal in signals.items()
        }
        return figures.utterance_panels(signals, steps, self.features.settings.sampling_rate)

    @cached_property
    def space(self) -> spaces.Space:
        """Every utterance as a point: mean and deviation of its features over time."""
        return spaces.feature_space(self.features)

    def levels(self) -> Figure:
        """Draw what each normalisation does to a coefficient, speaker by speaker."""
        manifest, by = (
            self.manifest,
            "speaker" if (self.manifest["speaker"] != "").all() else "corpus",
        )
        kinds, everything = ["none", "utterance", "global", by], np.arange(len(manifest))
        values = {k: normalise(self.features.values, manifest, k, everything) for k in kinds}
        return figures.normalisation_effect(values, manifest, by=by)

    def seen(self):
        """Say in sentences what was seen."""
        counts = self.manifest["emotion"].value_counts()
        shares = spaces.neighbours(self.space).set_index("by")
        apart = ((shares["share"] - shares["chance"]) / (1 - shares["chance"])).sort_values()
        frames = self.features.values.shape[1]
        padding = 100 - 100 * np.diff(self.features.speech).mean() / frames
        seconds = self.manifest["duration"]
        near = [
            f"of the same {by} in {100 * row.share:.0f} % (by chance {100 * row.chance:.0f} %)"
            for by, row in shares.iterrows()
        ]
        return _sentences(
            f"{len(self.manifest)} utterances, {len(counts)} emotions. Always saying "
            f"{counts.index[0]!r} would give a WAR of {100 * counts.max() / counts.sum():.1f} %, "
            f"but a UAR of {100 / len(counts):.1f} %.",
            f"Utterances last {seconds.min():.1f} to {seconds.max():.1f} s; {padding:.0f} % of the "
            f"frames that a network gets are padding.",
            f"The nearest neighbour of an utterance is {' and '.join(near)}. "
            f"What these features tell best is the {apart.index[-1]}."
            if len(near)
            else "",
        )


@dataclass(frozen=True, eq=False)
class Opened:
    """Runs of one condition, computed where they were missing.

    Parameters
    ----------
    page : Page
        Where figures and tables are kept.
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

    @cached_property
    def scores(self) -> pd.DataFrame:
        """UAR and WAR beside the published ones; see `tables.ours_beside_published`."""
        table = tables.ours_beside_published(self.runs, self.predictions)
        return table[table["reported_by"].eq(OURS) | (not self.page.synthetic)]

    @property
    def problem(self) -> Problem:
        """The first of the problems, with what the first method looks at."""
        run = self.planned[0]
        problem, features = run.problem, run.method.features[0]
        return problem.with_features(extract(problem.manifest, features, samples=problem.samples))

    def folder(self, **wanted: str) -> Path:
        """Folder of the first run with these values, such as ``method="source-only"``."""
        rows = self.runs
        for column, value in wanted.items():
            rows = rows[rows[column] == value]
        return self.store.root / rows["run"].iloc[0]


@dataclass(frozen=True, eq=False)
class OpenedInside(Opened):
    """Runs of one method inside one corpus."""

    @cached_property
    def network(self) -> list[teaching.SavedLayer]:
        """The layers of the first run's network."""
        return teaching.read_network(self.folder() / "model.keras")

    def tested(self, utterance: int = 0) -> tuple[np.ndarray, pd.Series]:
        """Features of a test utterance of the first run, as its network got them; what it said."""
        run, problem = self.planned[0], self.problem
        train = problem.train
        if run.method.selection == "validation":
            train, _ = validation_part(train, problem.manifest, problem.held_out, seed=run.seed)
        inputs = normalised(problem, run.method.recipe, train)
        said = self.honest[self.honest["run"] == run.name].iloc[utterance]
        return inputs[problem.test[[utterance]]][0], said

    @cached_property
    def both_protocols(self) -> pd.DataFrame:
        """Scores with shuffled folds and with held-out speakers, of methods that have both.

        Where no method of the report has, those of ``mfcc+linear``, which takes a second; nothing
        of it is kept. Empty where the corpus names no speakers.
        """
        runs, problem = index.study_runs(self.page.out), self.planned[0].problem
        runs = runs[(runs["corpus"] == problem.corpus) & (runs["selection"] != "best_test")]
        condition = runs["protocol"].map(tables.condition_of)
        runs = runs[condition.isin([tables.SHUFFLED, tables.HELD_OUT])].assign(condition=condition)
        method = runs.groupby(["method", "recipe", "normalisation", "variant"])["condition"]
        runs = runs[method.transform("nunique") > 1].drop(columns="condition")
        if runs.empty:
            runs = self._shallow()
        table = tables.ours_beside_published(runs) if len(runs) else runs
        return table[table["reported_by"].eq(OURS)] if len(runs) else runs

    def _shallow(self) -> pd.DataFrame:
        manifest, method = self.planned[0].problem.manifest, parse("mfcc+linear")
        with tempfile.TemporaryDirectory() as folder:
            try:
                problems = [
                    *problems_inside(manifest, "kfold", self.planned[0].problem.folds or 5),
                    *problems_inside(manifest, "loso"),
                ]
                compute([seeded(one, method, 0) for one in problems], RunStore(folder), jobs=1)
            except StudyError:  # speakers are not known, or there is only one
                return pd.DataFrame()
            return load_runs(folder)

    def leak(self):
        """Say what having heard a speaker is worth."""
        both = self.both_protocols
        if both.empty:
            return _sentences("The corpus does not name its speakers: nothing can be said.")
        both = both.assign(condition=both["protocol"].map(tables.condition_of))
        means = both.groupby(["method", "condition"], sort=False)["uar"].mean().unstack()
        return _sentences(
            *(
                f"{name_of(method)}: {row[tables.SHUFFLED]:.1f} % with shuffled folds, "
                f"{row[tables.HELD_OUT]:.1f} % with speakers it never heard: "
                f"{abs(row[tables.SHUFFLED] - row[tables.HELD_OUT]):.1f} points "
                f"{'less' if row[tables.SHUFFLED] > row[tables.HELD_OUT] else 'more'}."
                for method, row in means.iterrows()
            )
        )

    def seen(self):
        """Say in sentences what was seen."""
        honest, gap = self.honest, comparisons.gap(self.runs)
        score = tables.ours_beside_published(self.runs).query("~optimistic").iloc[-1]
        emotions = tables.per_emotion(honest).sort_values("recall")
        speakers = tables.per_speaker(honest).sort_values("uar")
        weak, strong = emotions.iloc[0], emotions.iloc[-1]
        wrong = honest[
            (honest["emotion"] == weak["emotion"]) & (honest["predicted"] != honest["emotion"])
        ]
        taken = f", most often taken for {wrong['predicted'].mode()[0]}" if len(wrong) else ""
        confidence = 100 * honest.filter(regex="^p_").max(axis=1).mean()
        right = 100 * (honest["emotion"] == honest["predicted"]).mean()
        added = gap.loc[gap["metric"] == "UAR", "gap"]
        return _sentences(
            f"UAR is {score['uar']:.1f} %, WAR {score['war']:.1f} %; a guess has a UAR of "
            f"{100 / len(self.planned[0].problem.classes):.1f} %.",
            f"Best recognised is {strong['emotion']} ({strong['recall']:.0f} %), worst "
            f"{weak['emotion']} ({weak['recall']:.0f} %){taken}.",
            f"Speakers range from {speakers['uar'].iloc[0]:.0f} to {speakers['uar'].iloc[-1]:.0f} % "
            "UAR."
            if len(speakers) > 1
            else "",
            f"Picking the epoch on the test part would add {added.iloc[0]:.1f} points of UAR."
            if len(added)
            else "",
            f"It is sure of itself by {confidence:.0f} % on average, and right in {right:.0f} %.",
        )


@dataclass(frozen=True, eq=False)
class OpenedAcross(Opened):
    """Runs of several methods from a source to a target."""

    @cached_property
    def before_and_after(self) -> dict[str, spaces.Space]:
        """Source and target as points: their features, then the embeddings of each method."""
        found = {spaces.BEFORE: spaces.feature_space(self.problem.features[0])}
        kept = self.runs.drop_duplicates("method")
        kept = kept[[(self.store.root / run / "embeddings.npz").is_file() for run in kept["run"]]]
        names = [name_of(method) for method in kept["method"]]
        return found | dict(zip(names, map(self._space, kept["run"]), strict=True))

    def _space(self, run: str) -> spaces.Space:
        return spaces.run_space(self.store.root / run)

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
        scores = self.scores[self.scores["reported_by"] == OURS].sort_values("uar")
        best = scores.iloc[-1]
        chance = 100 / len(self.planned[0].problem.classes)
        said = [
            f"The best of {len(scores)} methods is {method_of(best)}: UAR {best['uar']:.1f} %, where "
            f"a guess has {chance:.1f} %."
        ]
        for row in self.gains.to_dict("records"):
            low, high = row["pooled_difference_low"], row["pooled_difference_high"]
            word = "more than chance" if low > 0 or high < 0 else "no more than chance may give"
            said.append(
                f"{name_of(row['method'])}: {row['difference']:+.1f} points over source only, "
                f"between {low:.1f} and {high:.1f} over utterances: {word}."
            )
        ends = self.distances.set_index("method")["distance"]
        if len(ends) > 1:
            listed = ", ".join(f"{name_of(name)} {value:.2f}" for name, value in ends.items())
            said.append(f"Proxy A-distance of the corpora (2: told apart without error): {listed}.")
        return _sentences(*said)


@dataclass(frozen=True, eq=False)
class OpenedReport:
    """All runs of a report.

    Parameters
    ----------
    page : Page
        Where figures and tables are kept.
    runs : DataFrame
        From `load_runs`.
    store : RunStore
        Where they are.
    """

    page: Page
    runs: pd.DataFrame
    store: RunStore

    @cached_property
    def found(self) -> Findings:
        """The tables of the report, and its sentences."""
        return findings(self.store, self.runs, self.page.synthetic)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row per test utterance and run."""
        return load_predictions(self.store, self.runs)

    @property
    def inside(self) -> pd.DataFrame:
        """Runs inside one corpus."""
        return self.runs[self.runs["corpus"] != ""]

    @property
    def across(self) -> pd.DataFrame:
        """Runs across corpora."""
        return self.runs[self.runs["source"] != ""]

    def sources(self):
        """Say where the published numbers come from."""
        said = published()[["reported_by", "citation", "note"]].drop_duplicates()
        return _sentences(*(f"{r.reported_by}: {r.citation}; {r.note}." for r in said.itertuples()))

    def seen(self):
        """Say in sentences what was seen."""
        return _sentences(*self.found.sentences())


def open_corpus(
    corpora: str | None, corpus: str, features: str = "released", out: str = "reports", **options
) -> OpenedCorpus:
    """Open a corpus for a notebook.

    Parameters
    ----------
    corpora : path or None
        Folder that holds the corpora; None for the miniature ones.
    corpus, features : str
        Its name; a preset of MFCC.
    out : path
        Folder of the report.
    **options
        ``emotions`` and ``columns``; see :class:`ctl_helpers.study.settings.Settings`.
    """
    root = _root(read_study(None, {"corpora": corpora} | options))
    options = {"labels": options.get("emotions"), "columns": options.get("columns")}
    manifest = load_manifest(root, corpus, **options)
    page = Page(Path(out), page_name(FEATURES, (corpus, features)), is_miniature(root))
    found = audit(root, corpus, **options)
    return OpenedCorpus(page, found, manifest, extract(manifest, features))


def open_inside(
    corpora: str | None,
    corpus: str,
    method: str = "cpac/quick",
    protocol: str = "kfold",
    normalisation: str = "own",
    out: str = "reports",
    **settings,
) -> OpenedInside:
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
    """
    chosen = {"names": [corpus], "protocols": [protocol], "pairs": "none"}
    return OpenedInside(*_open(corpora, out, chosen, [method], normalisation, settings))


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
) -> OpenedAcross:
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
    """
    chosen = {"protocols": "none", "pairs": [f"{source}:{target}"], "scorings": [scoring]}
    chosen |= {"names": source.split("+") + target.split("+"), "labels": [labels]}
    return OpenedAcross(*_open(corpora, out, chosen, list(methods), normalisation, settings))


def open_report(out: str = "reports", corpora: str | None = None) -> OpenedReport:
    """Open all runs of a report for a notebook.

    Parameters
    ----------
    out : path
        Folder of the report.
    corpora : path or None
        Folder of the corpora that its runs read; None for the miniature ones.
    """
    runs, synthetic = index.open_report(out, corpora)
    return OpenedReport(Page(Path(out), TABLES, synthetic), runs, RunStore(Path(out) / "runs"))


def _root(study: Study) -> Path:
    """Find the corpora of a study; the first line says if their speech is synthetic."""
    root, _ = open_corpora(study)
    if is_miniature(root):
        print(SYNTHETIC)
    return root


def _open(corpora, out, chosen, methods, normalisation, settings) -> tuple:
    settings = {k: v for k, v in settings.items() if v not in (None, [], {})}
    study = read_study(None, chosen | settings | {"corpora": corpora, "out": str(out)})
    block = replace(study.settings, methods=tuple(methods), normalisations=(normalisation,))
    study = replace(study, settings=block, blocks={"": block})
    root = _root(study)
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
    name = page_name(ACROSS if group.kind == "adaptation" else INSIDE, _words(group))
    return Page(Path(out), name, is_miniature(root)), _title(group, runs), runs, store
