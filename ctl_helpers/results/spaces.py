"""Where utterances lie in feature or embedding space: corpora, emotions and speakers in it."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn import model_selection
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ctl_helpers.errors import StudyError
from ctl_helpers.results.naming import OURS, named_apart
from ctl_helpers.results.published import measured_alike, published
from ctl_helpers.results.runs import CONDITION, grouped
from ctl_helpers.results.statistics import mean_interval
from ctl_helpers.runs.store import StorePath
from ctl_helpers.scores import uar, war

BEFORE = "features"
SPLITS = {"random": model_selection.ShuffleSplit, "speaker": model_selection.GroupShuffleSplit}
_CONDITION = [*CONDITION[1:], "variant"]
_KEYS = ["source", "target", "protocol", "labels", "method", "recipe", "normalisation"]


@dataclass(frozen=True, eq=False)
class Space:
    """Utterances as points.

    Parameters
    ----------
    points : ndarray of shape (utterances, dimensions)
        Features or embeddings.
    labels : DataFrame
        A row per point: corpus, emotion, speaker.
    """

    points: np.ndarray
    labels: pd.DataFrame


def feature_space(features) -> Space:
    """Describe utterances by plain statistics of their features; nothing is learned.

    Parameters
    ----------
    features : Features
        ``values`` of shape (utterances, numbers), or (utterances, frames, coefficients), of which
        mean and standard deviation over time are taken; ``manifest`` of one corpus, or of two, of
        which utterances are kept whose emotion both have.

    Returns
    -------
    Space
    """
    manifest = features.manifest
    emotions = [set(part) for _, part in manifest.groupby("corpus")["emotion"]]
    rows = np.flatnonzero(manifest["emotion"].isin(set.intersection(*emotions)))
    rows = np.setdiff1d(rows, list(features.failed))
    points = np.asarray(features.values[rows])
    if points.ndim == 3:
        points = np.concatenate([points.mean(axis=1), points.std(axis=1)], axis=1)
    labels = manifest[["corpus", "emotion", "speaker"]]
    return Space(points, labels.iloc[rows].reset_index(drop=True))


def run_space(run: str | Path) -> Space:
    """Read the embeddings of a network's run: of its test part, after those of its source if any.

    Parameters
    ----------
    run : path
        The run's folder.

    Returns
    -------
    Space
        Speakers of the source are not kept: "".

    Raises
    ------
    StudyError
        Where the folder holds no embeddings.
    """
    run = Path(run)
    try:
        with np.load(run / "embeddings.npz", allow_pickle=False) as kept:
            arrays = dict(kept)
        table = pd.read_csv(run / "predictions.csv", dtype=str, keep_default_na=False)
        source = pd.read_json(run / "spec.json", typ="series")["problem"]["source"]
        points, labels = arrays["embeddings"], table[table["selection"] == table["selection"][0]]
        if source:
            points = np.concatenate([arrays["source_embeddings"], points])
            first = {"corpus": source, "emotion": arrays["source_emotions"], "speaker": ""}
            labels = pd.concat([pd.DataFrame(first), labels], ignore_index=True)
        if len(points) != len(labels):
            raise ValueError(f"{len(points)} embeddings of {len(labels)} utterances")
    except (OSError, KeyError, ValueError) as error:
        raise StudyError(f"{run}: expected a run with embeddings: {error}") from None
    return Space(points, labels[["corpus", "emotion", "speaker"]].reset_index(drop=True))


def neighbours(space: Space, by: tuple[str, ...] = ("emotion", "speaker")) -> pd.DataFrame:
    """Count how often an utterance's nearest neighbour shares its emotion, speaker or corpus.

    Parameters
    ----------
    space
        Points, which are standardised per dimension, and their labels.
    by
        Columns of the labels; utterances whose label is "" do not count.

    Returns
    -------
    pandas.DataFrame
        A row per column: by, share (fraction of the utterances), chance (what a neighbour drawn
        at random would give), utterances.
    """
    rows = []
    for column in by:
        known = (space.labels[column] != "").to_numpy()
        values = space.labels.loc[known, column].to_numpy(str)
        groups, count = np.unique(values, return_counts=True)
        if len(groups) < 2:
            continue
        points = StandardScaler().fit_transform(space.points[known])
        nearest = NearestNeighbors(n_neighbors=1).fit(points).kneighbors(return_distance=False)
        chance = (count * (count - 1)).sum() / (len(values) * (len(values) - 1))
        share = (values[nearest[:, 0]] == values).mean()
        rows.append((column, float(share), float(chance), len(values)))
    return pd.DataFrame(rows, columns=["by", "share", "chance", "utterances"])


def proxy_a_distance(points: ArrayLike, corpora: ArrayLike) -> float:
    """Measure how well a linear classifier tells two corpora apart: 2 (1 - 2 error).

    The error of logistic regression on standardised points is cross-validated over five folds, less
    where a corpus has fewer utterances, and the mean of both corpora's, so that a corpus of more
    utterances does not count for more.

    Parameters
    ----------
    points : array of shape (utterances, dimensions)
        Features or embeddings.
    corpora : array of shape (utterances,)
        Whose they are, one of two names.

    Returns
    -------
    float
        2 where the corpora are separated without an error, about 0 where they cannot be, and a
        little below by chance; NaN where a corpus has a single utterance.

    Raises
    ------
    StudyError
        For other than two corpora.

    References
    ----------
    Ben-David et al., "Analysis of representations for domain adaptation", NIPS 2006.

    Examples
    --------
    >>> proxy_a_distance([[0.0], [0.1], [5.0], [5.1]], ["casia", "casia", "emodb", "emodb"])
    2.0
    """
    points, corpora = np.asarray(points, float), np.asarray(corpora)
    names, counts = np.unique(corpora, return_counts=True)
    if len(names) != 2:
        raise StudyError(f"proxy A-distance: expected two corpora, got {', '.join(names)}")
    if counts.min() < 2:
        return float("nan")
    classifier = LogisticRegression(class_weight="balanced", max_iter=2000)
    divided = model_selection.StratifiedKFold(min(5, counts.min()), shuffle=True, random_state=0)
    pipeline = make_pipeline(StandardScaler(), classifier)
    predicted = model_selection.cross_val_predict(pipeline, points, corpora, cv=divided)
    return 2 * (1 - 2 * (1 - uar(corpora, predicted)))


def distances(store: StorePath, runs: pd.DataFrame, before: Space | None = None) -> pd.DataFrame:
    """Measure how far apart source and target lie, for each method.

    Parameters
    ----------
    store
        The run store or its folder.
    runs
        From `runs.load_runs`; those across corpora count whose embeddings were kept.
    before
        From `feature_space`, of the one pair that the runs are of: a first row, of the features.

    Returns
    -------
    pandas.DataFrame
        Per pair, recipe and method: distance, the mean of `proxy_a_distance` over seeds with its
        interval, and the number of runs.
    """
    kept = _with_embeddings(store, runs)
    rows = []
    if before is not None and len(kept):
        place = kept.iloc[0][["source", "target"]].to_dict()
        of_source = before.labels["corpus"].isin(place["source"].split("+"))
        found = proxy_a_distance(before.points, of_source)
        rows.append({**place, "method": BEFORE, "distance": found})
    for row, group in grouped(kept, _CONDITION):
        each = [
            proxy_a_distance(space.points, space.labels["corpus"] == row["source"])
            for space in map(run_space, group["folder"])
        ]
        row |= mean_interval(each, (-2.0, 2.0)).columns("distance", 1)
        rows.append(row | {"runs": len(group)})
    return _table(rows, ["distance", "distance_low", "distance_high", "runs"])


def svm_on_features(run: str | Path, split: str = "random", repeats: int = 10) -> pd.DataFrame:
    """Score a linear SVM on a run's embeddings of the target: table S5 of the paper's appendix.

    Four fifths of the *labelled* target train it, one fifth tests it.

    Parameters
    ----------
    run : path
        A run's folder.
    split : {"random", "speaker"}
        ``"random"`` draws utterances, as published; ``"speaker"`` draws whole speakers.
    repeats : int
        Draws.

    Returns
    -------
    pandas.DataFrame
        A row per draw: uar and war, fractions.

    Raises
    ------
    StudyError
        For a run without embeddings, or a target of a single speaker.

    References
    ----------
    Wen, Ye et al., "CTL-MTNet", IJCAI 2022, table S5.
    """
    space = run_space(run)
    corpora = space.labels["corpus"]
    # The source comes first, under one name; a run inside a corpus has none.
    target = (corpora.ne(corpora.iloc[0]) | (corpora.nunique() == 1)).to_numpy()
    points, labels = space.points[target], space.labels[target]
    if split == "speaker" and labels["speaker"].nunique() < 2:
        raise StudyError(f"{run}: expected two speakers or more, got one")
    found = model_selection.cross_validate(
        *(make_pipeline(StandardScaler(), SVC(kernel="linear")), points, labels["emotion"]),
        groups=labels["speaker"] if split == "speaker" else None,
        scoring={"uar": make_scorer(uar), "war": make_scorer(war)},
        cv=SPLITS[split](repeats, test_size=0.2, random_state=0),
    )
    return pd.DataFrame({metric: found[f"test_{metric}"] for metric in ("uar", "war")})


def labelled_svm(store: StorePath, runs: pd.DataFrame, repeats: int = 10) -> pd.DataFrame:
    """Lay `svm_on_features` of all runs beside table S5 of the paper's appendix.

    It is not a score across corpora: it says how well emotions can be separated in the space
    that a method leaves.

    Parameters
    ----------
    store
        The run store or its folder.
    runs
        From `runs.load_runs`; those across corpora count whose embeddings were kept.
    repeats
        Draws of the fifth that is tested.

    Returns
    -------
    pandas.DataFrame
        The published rows of these pairs and classes, then one per condition for each ``split``:
        ``"random"``, as published, or ``"speaker"``, where no speaker is both in training and
        test (left out where the target has but one). UAR and WAR in percent are means over draws
        and runs, that of UAR with its interval over runs.
    """
    kept, rows = _with_embeddings(store, runs), []
    for split, (row, group) in product(SPLITS, list(grouped(kept, _CONDITION))):
        try:
            drawn = [svm_on_features(run, split, repeats).mean() for run in group["folder"]]
        except StudyError:  # a single speaker
            continue
        means = 100 * pd.DataFrame(drawn)
        row |= {"split": split, "runs": len(group), "war": means["war"].mean()}
        row |= mean_interval(means["uar"], (0.0, 100.0)).columns("uar", 1)
        rows.append(row | {"reported_by": OURS})
    theirs = published().query("protocol == 'svm'").assign(split="random", protocol="")
    here = ["source", "target", "labels", "classes"]
    theirs = theirs.merge(measured_alike(kept)[here].drop_duplicates())
    both = [*theirs.to_dict("records"), *named_apart(pd.DataFrame(rows)).to_dict("records")]
    numbers = ["uar", "uar_low", "uar_high", "war", "runs"]
    return _table(both, ["split", *numbers, "reported_by", "citation", "note"])


def _table(rows: list[dict], columns: list[str]) -> pd.DataFrame:
    """Make a table in which numbers that are not there are missing, and words empty."""
    table = pd.DataFrame(rows).reindex(columns=[*_KEYS, *columns]).astype({"runs": "Int64"})
    words = table.columns.intersection([*_KEYS, "split", "reported_by", "citation", "note"])
    return table.astype(dict.fromkeys(words, object)).fillna(dict.fromkeys(words, ""))


def _with_embeddings(store: StorePath, runs: pd.DataFrame) -> pd.DataFrame:
    """Pick the runs across corpora whose embeddings were kept, and add their folders."""
    runs = runs.assign(folder=[Path(store) / run for run in runs["run"]])
    here = [(folder / "embeddings.npz").is_file() for folder in runs["folder"]]
    return runs[(runs["source"] != "") & np.array(here, bool)].drop_duplicates("run")
