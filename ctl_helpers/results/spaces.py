"""Where the utterances of two corpora lie, before adaptation and after, and how far apart."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ctl_helpers.errors import StudyError
from ctl_helpers.features.functionals import mfcc_statistics
from ctl_helpers.features.mfcc import Features
from ctl_helpers.methods.transfers import SPLITS, shared, svm_on_features
from ctl_helpers.results.naming import OURS, named_apart
from ctl_helpers.results.published import published
from ctl_helpers.results.runs import CONDITION
from ctl_helpers.results.statistics import mean_interval
from ctl_helpers.runs.store import RunStore
from ctl_helpers.scores import uar

BEFORE = "MFCC statistics"


@dataclass(frozen=True, eq=False)
class Space:
    """Utterances of a source and a target as points.

    Parameters
    ----------
    points : ndarray of shape (utterances, dimensions)
        The source's, then the target's.
    labels : DataFrame
        A row per point: corpus, emotion.
    """

    points: np.ndarray
    labels: pd.DataFrame


def feature_space(source: Features, target: Features) -> Space:
    """Describe the utterances of two corpora by plain statistics of their MFCC.

    Parameters
    ----------
    source, target : Features
        As :func:`ctl_helpers.methods.transfers.transfer` takes them; emotions that the other corpus does
        not have are left out.

    Returns
    -------
    Space
        The points are those of :func:`ctl_helpers.features.functionals.mfcc_statistics`: nothing is learned
        or normalised.
    """
    sides = shared(source, target)
    points = np.concatenate([mfcc_statistics(side) for side in sides])
    labels = [side.manifest[["corpus", "emotion"]] for side in sides]
    return Space(points, pd.concat(labels, ignore_index=True))


def run_space(run: str | Path) -> Space:
    """Read the embeddings of a run across corpora: the source's, and the scored target's.

    Parameters
    ----------
    run : path
        The run's folder.

    Returns
    -------
    Space

    Raises
    ------
    StudyError
        Where the folder holds no embeddings of two corpora.
    """
    run = Path(run)
    try:
        with np.load(run / "embeddings.npz", allow_pickle=False) as kept:
            points = [kept["source_embeddings"], kept["embeddings"]]
            spoken = kept["source_emotions"]
        columns = {"dtype": str, "keep_default_na": False, "usecols": ["corpus", "emotion"]}
        target = pd.read_csv(run / "predictions.csv", **columns)
        source = pd.read_json(run / "spec.json", typ="series")["source"]
    except (OSError, KeyError, ValueError) as error:
        raise StudyError(f"{run}: expected a run across corpora with embeddings: {error}") from None
    labels = [pd.DataFrame({"corpus": source, "emotion": spoken}), target]
    return Space(np.concatenate(points), pd.concat(labels, ignore_index=True))


def proxy_a_distance(points: ArrayLike, corpora: ArrayLike, folds: int = 5, seed: int = 0) -> float:
    """Measure how well a linear classifier tells two corpora apart: 2 (1 - 2 error).

    The error of logistic regression on standardised points is cross-validated, and the mean of
    both corpora's, so that a corpus of more utterances does not count for more.

    Parameters
    ----------
    points : array of shape (utterances, dimensions)
        Features or embeddings.
    corpora : array of shape (utterances,)
        Whose they are, one of two names.
    folds : int
        Of the cross-validation; less where a corpus has fewer utterances.
    seed : int
        Of the folds.

    Returns
    -------
    float
        2 where the corpora can be told apart without an error, about 0 where they cannot, and a
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
    folds = min(folds, counts.min())
    if folds < 2:
        return float("nan")
    classifier = LogisticRegression(class_weight="balanced", max_iter=2000)
    divided = StratifiedKFold(folds, shuffle=True, random_state=seed)
    said = cross_val_predict(
        make_pipeline(StandardScaler(), classifier), points, corpora, cv=divided
    )
    return 2 * (1 - 2 * (1 - uar(corpora, said)))


def distances(
    store: RunStore | str | Path, runs: pd.DataFrame, before: Space | None = None
) -> pd.DataFrame:
    """Measure how far apart source and target lie, for each method.

    Parameters
    ----------
    store
        The store or its folder.
    runs
        From `results.load_runs`; those across corpora count whose embeddings were kept.
    before
        From `feature_space`, of the one pair that the runs are of: a first row, of the features.

    Returns
    -------
    pandas.DataFrame
        Per pair, recipe and method: distance, the mean of `proxy_a_distance` over seeds with its
        interval, and the number of runs.
    """
    root, kept = _with_embeddings(store, runs)
    rows = []
    if before is not None and len(kept):
        found = proxy_a_distance(before.points, before.labels["corpus"])
        place = kept.iloc[0][["source", "target"]].to_dict()
        rows.append({**place, "method": BEFORE, "distance": found})
    keys = [*CONDITION[2:], "variant"]
    for key, group in kept.groupby(keys, sort=False):
        spaces = [run_space(root / run) for run in group["run"]]
        each = [proxy_a_distance(space.points, space.labels["corpus"]) for space in spaces]
        ends = ("distance", "distance_low", "distance_high")
        row = dict(zip(keys, key, strict=True)) | dict(zip(ends, mean_interval(each), strict=True))
        rows.append(row | {"runs": len(group)})
    words = ["source", "target", "protocol", "recipe", "normalisation", "method"]
    table = pd.DataFrame(
        rows, columns=[*words, "distance", "distance_low", "distance_high", "runs"]
    )
    return table.astype({"runs": "Int64"}).fillna(dict.fromkeys(words, ""))


def labelled_svm(
    store: RunStore | str | Path, runs: pd.DataFrame, repeats: int = 10
) -> pd.DataFrame:
    """Score a linear SVM on the embeddings of the target: table S5 of the paper's appendix.

    Four fifths of the *labelled* target train it, so this is no score across corpora: it tells how
    well emotions can be told apart in the space that a method leaves.

    Parameters
    ----------
    store
        The store or its folder.
    runs
        From `results.load_runs`; those across corpora count whose embeddings were kept.
    repeats
        Draws of the fifth that is tested.

    Returns
    -------
    pandas.DataFrame
        The published rows of these pairs, then one per condition for each way to draw: ``split``
        ``"random"``, as published, or ``"speaker"``, where no speaker is both in training and test
        (left out where the target has but one). UAR and WAR in percent are means over draws and
        runs, that of UAR with its interval over runs.

    References
    ----------
    Wen, Ye et al., "CTL-MTNet", IJCAI 2022, table S5.
    """
    root, kept = _with_embeddings(store, runs)
    rows = []
    keys = [*CONDITION[2:], "variant"]
    for split, (key, group) in product(SPLITS, kept.groupby(keys, sort=False)):
        if split == "speaker" and not all(_several_speakers(root / run) for run in group["run"]):
            continue
        drawn = [svm_on_features(root / run, split, repeats) for run in group["run"]]
        means = 100 * pd.DataFrame([table[["uar", "war"]].mean() for table in drawn])
        ends = ("uar", "uar_low", "uar_high")
        row = dict(zip(keys, key, strict=True)) | {"split": split, "runs": len(group)}
        row |= dict(zip(ends, mean_interval(means["uar"]), strict=True))
        rows.append(row | {"war": means["war"].mean(), "reported_by": OURS})
    ours = named_apart(pd.DataFrame(rows))
    theirs = published("transfer").query("protocol == 'svm'").assign(split="random", protocol="")
    ran = pd.MultiIndex.from_frame(kept[["source", "target"]])
    theirs = theirs[pd.MultiIndex.from_frame(theirs[["source", "target"]]).isin(ran)]
    words = ["source", "target", "protocol", "split", "method", "recipe", "normalisation"]
    notes = ["reported_by", "citation", "note"]
    columns = [*words, "uar", "uar_low", "uar_high", "war", "runs", *notes]
    both = [*theirs.to_dict("records"), *ours.to_dict("records")]
    table = pd.DataFrame(both).reindex(columns=columns)
    return table.astype({"runs": "Int64"}).fillna(dict.fromkeys(words + notes, ""))


def _with_embeddings(store, runs):
    root = store.root if isinstance(store, RunStore) else Path(store)
    here = np.array([(root / run / "embeddings.npz").is_file() for run in runs["run"]], bool)
    return root, runs[(runs["task"] == "transfer") & here].drop_duplicates("run")


def _several_speakers(run):
    table = pd.read_csv(run / "predictions.csv", dtype=str, usecols=["speaker"])
    return table["speaker"].nunique() > 1
