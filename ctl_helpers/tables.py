"""Tables: results as people read them, and as CSV, Markdown and LaTeX.

Frames hold scores in **percent** as plain numbers, a score ``x`` with its 95 % interval in the
columns ``x_low`` and ``x_high``. `display` folds these into one cell for the eye.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.errors import StudyError
from ctl_helpers.markup import DAGGER, to_latex, to_markdown
from ctl_helpers.published import published
from ctl_helpers.recipes import RECIPES, TRANSFER_RECIPES
from ctl_helpers.results import CONDITION, OPTIMISTIC, fold_interval, pooled_interval, summary
from ctl_helpers.statistics import (
    Interval,
    PairedTest,
    calibration_of,
    corrected_resampled_t_test,
    mcnemar,
    paired_bootstrap,
    proportion_interval,
)

DAGGER_NOTE = (
    f"{DAGGER} optimistic: the epoch was picked by its score on the test part, as in the "
    "released procedure."
)
OURS = "this study"
NAMES = {
    **{"casia": "CASIA", "emodb": "EmoDB", "savee": "SAVEE", "ravdess": "RAVDESS"},
    **{"emovo": "EMOVO", "cpac": "CPAC"},
    **{"kfold": "shuffled k-fold", "stratified": "stratified k-fold"},
    **{"loso": "leave one speaker out", "grouped": "speaker-grouped k-fold"},
    **{
        f"{features}+{classifier}": f"{set_name} + {how}"
        for features, set_name in (
            *(("egemaps", "eGeMAPS"), ("compare", "ComParE"), ("mfcc", "MFCC statistics")),
        )
        for classifier, how in (
            *(("linear", "SVM (linear)"), ("rbf", "SVM (RBF)")),
            ("logistic", "logistic regression"),
        )
    },
}
# Of these the first three are always said: they are conditions of their own. The others are what
# recipes do unless they are told otherwise.
_CONDITIONS = {
    **{"speaker": "per speaker", "corpus": "per corpus", "utterance": "per utterance"},
    **{"none": "not normalised", "global": "scaled by the training part"},
}
HEADINGS = {
    **{"uar": "UAR %", "war": "WAR %", "macro_f1": "macro F1 %", "pooled_uar": "pooled UAR %"},
    **{"pooled_war": "pooled WAR %", "f1": "F1 %", "recall": "recall %"},
    **{"precision": "precision %", "best_test": f"best test epoch {DAGGER}", "last": "last epoch"},
    **{"difference": "difference (points)", "distance": "proxy A-distance"},
    **{"pooled_difference": "over utterances (points)", "pooled_p": "p over utterances"},
    **{"confidence": "mean confidence %", "ece": "ECE %"},
    **{"gap": "gap (points)", "p": "p", "mcnemar_p": "McNemar p"},
}
_GROUP = [*CONDITION, "variant"]


def name_of(identifier: str) -> str:
    """Return how a corpus or method is written: ``emodb`` is EmoDB."""
    return NAMES.get(identifier, identifier)


def method_of(row: Mapping[str, str]) -> str:
    """Return how a row's method is written, with its recipe and the condition it was run under.

    Parameters
    ----------
    row
        ``method``, and ``recipe`` and ``normalisation`` where there are any.

    Returns
    -------
    str

    Examples
    --------
    >>> method_of({"method": "cpac", "recipe": "modern", "normalisation": "global"})
    'CPAC modern'
    >>> method_of({"method": "egemaps+rbf", "recipe": "", "normalisation": "speaker"})
    'eGeMAPS + SVM (RBF), per speaker'
    """
    recipe, kind = row.get("recipe", ""), row.get("normalisation", "")
    name = f"{name_of(row['method'])} {recipe}".strip()
    known = recipe.split(" (")[0]
    own = {table[known].normalisation for table in (RECIPES, TRANSFER_RECIPES) if known in table}
    if not kind or (kind in ("none", "global") and (kind in own or not own)):
        return name
    return f"{name}, {_CONDITIONS.get(kind, kind)}"


def place_of(row: Mapping[str, str]) -> str:
    """Return how a row's corpus, or its pair, is written: ``EmoDB``, ``CASIA → EmoDB``."""
    if row.get("corpus"):
        return name_of(row["corpus"])
    if row["source"] == "mean":
        return "mean"
    return f"{name_of(row['source'])} → {name_of(row['target'])}"


def label_of(row: Mapping[str, str]) -> str:
    """Return a method's name for a list of ours and published ones, told apart by who reports."""
    if row["reported_by"] != OURS:
        return f"{name_of(row['method'])} ({row['reported_by']})"
    return method_of(row) + (f" {DAGGER}" if row["optimistic"] else "")


def title_of(row: Mapping[str, str], only: Sequence[int] | None = None) -> str:
    """Say in words what a row is of: ``EmoDB, CPAC modern, per speaker, shuffled k-fold``.

    ``only`` are the numbers of the splits that ran, None for all.
    """
    numbers = " ".join(map(str, only or ()))
    splits = f"split{'s' * (len(only) > 1)} {numbers} only" if only else ""
    words = [place_of(row), method_of(row), name_of(row["protocol"]), splits]
    return ", ".join(filter(None, words))


def part_of(row: Mapping[str, object]) -> str:
    """Say how much of its protocol a row ran, ``1 of 10 folds``; empty where it is all of it."""
    for unit in ("folds", "utterances"):
        done, all_of_them = row.get(unit), row.get(f"of_{unit}")
        if pd.notna(done) and pd.notna(all_of_them) and done < all_of_them:
            return f"{done:.0f} of {all_of_them:.0f} {unit}"
    return ""


def ours_beside_published(
    runs: pd.DataFrame, task: str = "cpac", predictions: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Put this study's scores beside the published ones.

    Parameters
    ----------
    runs
        From `results.load_runs`.
    task
        ``"cpac"``: inside one corpus, shallow baselines included. ``"transfer"``: across corpora.
    predictions
        From `results.load_predictions`; they add the pooled UAR with its interval over utterances.

    Returns
    -------
    pandas.DataFrame
        Rows grouped by corpus (or source and target), the published first; scores in percent with
        their intervals; ``optimistic`` rows get a dagger in `display`; reported_by, citation and
        note say where a number comes from and how it was scored. Only corpora and pairs that
        this study ran, or all the published ones if it ran none.
    """
    theirs = published(task).assign(optimistic=False)
    theirs["selection"] = theirs["protocol"].map({"svm": ""}).fillna("last")
    mine = runs[(runs["task"] == "transfer") == (task == "transfer")]
    place = ["source", "target"] if task == "transfer" else ["corpus"]
    if len(mine):
        ran = pd.MultiIndex.from_frame(mine[place])
        theirs = theirs[pd.MultiIndex.from_frame(theirs[place]).isin(ran)]
    ours = _in_percent(_named_apart(summary(mine, predictions))).assign(reported_by=OURS)
    # An empty frame beside a full one would make pandas guess the columns' types.
    table = pd.concat([part for part in (theirs, ours) if len(part)], ignore_index=True)
    table["order"] = (table["reported_by"] == OURS) + (table["task"] == "baseline").astype(int)
    table = table.sort_values([*place, "protocol", "order"], kind="stable", ignore_index=True)
    scores = ["uar", "war"] if predictions is None else ["uar", "war", "pooled_uar"]
    words = [*place, *("protocol", "method", "recipe", "normalisation", "selection")]
    more_words = ["reported_by", "citation", "note"]
    counts = ["utterances", "of_utterances", "folds", "of_folds", "seeds"]
    intervals = [f"{score}{end}" for score in scores for end in ("", "_low", "_high")]
    table = table.reindex(columns=[*words, *intervals, *counts, "optimistic", *more_words])
    table = table.astype({count: "Int64" for count in counts} | {i: float for i in intervals})
    texts = words + more_words
    return table.astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, ""))


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Turn `ours_beside_published` on its side: a row per method, a column per corpus or pair.

    Cells read "UAR / WAR" in percent, with how many folds where it is not all of them.
    """
    rows = table.to_dict("records")
    parts = [part_of(row) for row in rows]
    table = table.assign(
        cell=[
            f"{row['uar']:.1f} / {row['war']:.1f}" + (f" ({part})" if part else "")
            for row, part in zip(rows, parts, strict=True)
        ],
        place=[place_of(row) for row in rows],
    )
    keys = ["protocol", "method", "recipe", "normalisation", "selection", "optimistic"]
    keys.append("reported_by")
    order = table[keys].drop_duplicates()
    cells = table.pivot_table("cell", keys, "place", aggfunc="first", sort=False).reset_index()
    cells.columns.name = None
    return order.merge(cells, on=keys).fillna("")


def per_speaker(predictions: pd.DataFrame) -> pd.DataFrame:
    """Score each speaker of one condition.

    Parameters
    ----------
    predictions
        From `results.load_predictions`, of one condition; it may hold several seeds.

    Returns
    -------
    pandas.DataFrame
        corpus, speaker, sex, utterances, UAR with its bootstrap interval and WAR with Wilson's, in
        percent.
    """
    rows = []
    for (corpus, speaker), part in predictions.groupby(["corpus", "speaker"]):
        row = {"corpus": corpus, "speaker": speaker, "sex": part["sex"].iloc[0]}
        row["utterances"] = part["utterance"].nunique()
        row |= _interval("uar", pooled_interval(part, "uar"))
        hits = (part["emotion"] == part["predicted"]).sum() / part["seed"].nunique()
        row |= _interval("war", proportion_interval(hits, len(part) / part["seed"].nunique()))
        rows.append(row)
    return pd.DataFrame(rows)


def per_emotion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Score each emotion of one condition.

    Parameters
    ----------
    predictions
        From `results.load_predictions`, of one condition; it may hold several seeds.

    Returns
    -------
    pandas.DataFrame
        corpus, emotion, utterances, recall with Wilson's interval, precision and F1 in percent.
    """
    rows = []
    for corpus, part in predictions.groupby("corpus"):
        seeds = part["seed"].nunique()
        for emotion in sorted(part["emotion"].unique()):
            true, said = part["emotion"] == emotion, part["predicted"] == emotion
            hits = (true & said).sum()
            row = {"corpus": corpus, "emotion": emotion, "utterances": int(true.sum() / seeds)}
            row |= _interval("recall", proportion_interval(hits / seeds, true.sum() / seeds))
            row["precision"] = 100 * hits / said.sum() if said.any() else np.nan
            row["f1"] = 100 * 2 * hits / (true.sum() + said.sum())
            rows.append(row)
    return pd.DataFrame(rows)


def gap(runs: pd.DataFrame) -> pd.DataFrame:
    """Say how much picking the best test epoch adds to the last epoch's score.

    Parameters
    ----------
    runs
        From `results.load_runs`; only runs with both selections count.

    Returns
    -------
    pandas.DataFrame
        Per condition and metric: last, best_test and their difference ``gap`` with its interval
        over folds, in percent and percentage points, and the number of folds and runs.
    """
    rows = []
    for key, group in runs.groupby(_GROUP, sort=False):
        both = group.pivot_table(["uar", "war"], ["run", "split", "seed"], "selection")
        for metric in ("uar", "war"):
            if not {"last", OPTIMISTIC} <= set(both.get(metric, pd.DataFrame()).columns):
                continue
            scores = both[metric].dropna().reset_index()
            scores["gap"] = scores[OPTIMISTIC] - scores["last"]
            row = dict(zip(_GROUP, key, strict=True)) | {"metric": metric.upper()}
            row |= {
                "last": 100 * fold_interval(scores, "last").value,
                OPTIMISTIC: 100 * fold_interval(scores, OPTIMISTIC).value,
            }
            row |= _interval("gap", fold_interval(scores, "gap"))
            row |= {"folds": scores["split"].nunique(), "runs": len(scores)}
            row["of_folds"] = group["of_folds"].astype(float).max()
            rows.append(row)
    columns = [*_GROUP, "metric", "last", OPTIMISTIC, "gap", "gap_low", "gap_high"]
    columns += ["folds", "of_folds", "runs"]
    return _named_apart(pd.DataFrame(rows, columns=columns)).drop(columns="variant")


def compare(
    runs: pd.DataFrame,
    reference: Mapping[str, str],
    predictions: pd.DataFrame | None = None,
    metric: str = "uar",
    within: Sequence[str] = (),
) -> pd.DataFrame:
    """Compare every condition with a reference on the folds, or seeds, that both ran.

    Parameters
    ----------
    runs
        From `results.load_runs`; optimistic rows are left out.
    reference
        What marks the reference, such as ``{"method": "source-only"}`` or ``{"recipe":
        "released"}``: one condition per corpus (or pair) and protocol.
    predictions
        From `results.load_predictions`; they add the difference of pooled UAR with its interval and
        p value by a paired bootstrap over utterances, and McNemar's test on the predictions of the
        first seed that both ran.
    metric
        ``"uar"``, ``"war"`` or ``"macro_f1"``.
    within
        Columns that a condition must share with its reference; without one it is left out.

    Returns
    -------
    pandas.DataFrame
        Per condition: mean difference to the reference in percentage points with its interval and
        p value (corrected resampled t-test over folds, seeds averaged; across corpora and where
        there is one split a paired t-test over seeds, which has no interval for a single one),
        the pooled difference, McNemar's p, folds, seeds.

    Raises
    ------
    StudyError
        If no run, or more than one condition in one place, fits the reference.
    """
    runs = runs[runs["selection"] != OPTIMISTIC]
    is_reference = pd.Series(True, runs.index)
    for column, value in reference.items():
        is_reference &= runs[column] == value
    if not is_reference.any():
        raise StudyError(f"expected runs with {dict(reference)} to compare with; got none")
    place = ["corpus", "source", "target", "protocol", *within]
    keys = ["task", "method", "recipe", "normalisation", "selection", "variant"]
    keys = [key for key in keys if key not in within]
    rows = []
    for where, here in runs.groupby(place, sort=False):
        base = here[is_reference[here.index]]
        conditions = len(base[keys].drop_duplicates())
        if conditions > 1:
            raise StudyError(
                f"{' '.join(filter(None, where))}: expected one condition with {dict(reference)}, "
                f"got {conditions}; name more of {', '.join(keys)}"
            )
        for key, other in here.drop(base.index).groupby(keys, sort=False):
            row = dict(zip([*place, *keys], [*where, *key], strict=True))
            rows += [row | found for found in _differences(other, base, predictions, metric)]
    return _named_apart(pd.DataFrame(rows)).drop(columns="variant", errors="ignore")


def against_cpac(runs: pd.DataFrame, predictions: pd.DataFrame | None = None) -> pd.DataFrame:
    """Compare every method inside a corpus with CPAC on the same folds, like with like.

    Parameters
    ----------
    runs
        From `results.load_runs`; optimistic rows are left out.
    predictions
        From `results.load_predictions`, for McNemar's test.

    Returns
    -------
    pandas.DataFrame
        As `compare` gives it, with the column reference: CPAC by the first of the recipes modern,
        paper, released and quick that ran there. Methods that use the test part's unlabelled
        speech (normalised per speaker or corpus) are compared with the reference that does, too.
    """
    runs = runs[(runs["task"] != "transfer") & (runs["selection"] != OPTIMISTIC)]
    keys = ["method", "recipe", "normalisation", "selection", "variant"]
    parts = []
    for _, here in runs.groupby(["corpus", "protocol", runs["normalisation"].isin(_TRANSDUCTIVE)]):
        cpac = here[(here["method"] == "cpac") & here["recipe"].isin(_PREFERRED)]
        if cpac.empty:
            continue
        rank = cpac["recipe"].map(_PREFERRED.index)
        reference = cpac.loc[rank.idxmin(), keys].to_dict()
        found = compare(here, reference, predictions)
        parts.append(found.assign(reference=method_of(reference)))
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame()
    return pd.concat(parts, ignore_index=True).drop(columns="task")


_PREFERRED = ("modern", "paper", "released", "quick")
_TRANSDUCTIVE = ("speaker", "corpus")


def recalls(runs: pd.DataFrame, predictions: pd.DataFrame, by: str = "emotion") -> pd.DataFrame:
    """Lay the recall of every emotion, or the UAR of every speaker, of all methods side by side.

    Parameters
    ----------
    runs
        From `results.load_runs`, of one corpus; optimistic rows are left out.
    predictions
        From `results.load_predictions`.
    by
        ``"emotion"`` or ``"speaker"``.

    Returns
    -------
    pandas.DataFrame
        A row per condition, a column per emotion or speaker, in percent.
    """
    rows = []
    make, score = (per_emotion, "recall") if by == "emotion" else (per_speaker, "uar")
    for row, mine in _conditions(runs, predictions):
        rows.append(row | make(mine).set_index(by)[score].to_dict())
    return pd.DataFrame(rows)


def confidences(runs: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Say how well the networks' probabilities are calibrated.

    Parameters
    ----------
    runs
        From `results.load_runs`; optimistic rows and shallow methods, whose probabilities are not
        meant as such, are left out.
    predictions
        From `results.load_predictions`.

    Returns
    -------
    pandas.DataFrame
        Per condition: WAR, mean confidence and expected calibration error, in percent.
    """
    rows = []
    for row, mine in _conditions(runs[runs["task"] != "baseline"], predictions):
        row["war"] = 100 * (mine["emotion"] == mine["predicted"]).mean()
        row["confidence"] = 100 * mine.filter(regex="^p_").max(axis=1).mean()
        row["ece"] = 100 * calibration_of(mine).ece
        rows.append(row | {"utterances": mine["utterance"].nunique()})
    return pd.DataFrame(rows)


def _conditions(
    runs: pd.DataFrame, predictions: pd.DataFrame
) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Each condition that is no optimistic one, in words, and its predictions."""
    runs = _named_apart(runs[runs["selection"] != OPTIMISTIC])
    order = {"by": ["corpus", "protocol", "task"], "ascending": [True, True, False]}
    runs = runs.sort_values(**order, kind="stable")
    place = ["corpus", "source", "target", "protocol", "method", "recipe", "normalisation"]
    for key, group in runs.groupby([*place, "selection"], sort=False):
        mine = predictions.merge(group[["run", "selection"]])
        if len(mine):
            yield dict(zip([*place, "selection"], key, strict=True)), mine


def _differences(
    other: pd.DataFrame, base: pd.DataFrame, predictions: pd.DataFrame | None, metric: str
) -> list[dict]:
    """Return one row of tests, or none where the two share nothing that can be tested."""
    across = (base["task"] == "transfer").any()
    unit = "split" if base["split"].nunique() > 1 and not across else "seed"
    paired = pd.concat([side.groupby(unit)[metric].mean() for side in (other, base)], axis=1)
    first, second = paired.dropna().to_numpy().T
    both = pd.DataFrame() if predictions is None else _same_utterances(other, base, predictions)
    if len(first) < (1 if len(both) else 2):
        return []
    test = PairedTest(float((first - second).mean()), *[np.nan] * 4)
    if len(first) > 1:
        shares = base["utterances"] / base["train_utterances"]
        rho = float(shares.mean()) if unit == "split" else 0.0
        test = corrected_resampled_t_test(first, second, rho)
    row = _interval("difference", Interval(test.difference, test.low, test.high)) | {"p": test.p}
    row |= {"folds" if unit == "split" else "seeds": len(first)}
    if len(both):
        said = [both[name] for name in ("emotion", "predicted", "predicted_reference")]
        pooled = paired_bootstrap(*said, both["corpus"] + " " + both["utterance"])
        row |= _interval("pooled_difference", Interval(*pooled[:3])) | {"pooled_p": pooled.p}
        of_one = both["seed"] == both["seed"].min()
        row["mcnemar_p"] = mcnemar(*(column[of_one] for column in said)).p
    return [row]


def _same_utterances(
    other: pd.DataFrame, base: pd.DataFrame, predictions: pd.DataFrame
) -> pd.DataFrame:
    """Lay both conditions' predictions of an utterance under one seed side by side."""
    sides = [predictions.merge(side[["run", "selection"]]) for side in (other, base)]
    keys = ["corpus", "utterance", "split", "seed"]
    return sides[0].merge(sides[1], on=keys, suffixes=("", "_reference"))


def gains(runs: pd.DataFrame, predictions: pd.DataFrame | None = None) -> pd.DataFrame:
    """Say what adaptation adds to source-only under the same recipe, per pair.

    Parameters
    ----------
    runs
        From `results.load_runs`; those across corpora count.
    predictions
        From `results.load_predictions`; see `compare`.

    Returns
    -------
    pandas.DataFrame
        As `compare` gives it; empty where no method stands beside source-only.
    """
    across = runs[runs["task"] == "transfer"]
    if "source-only" not in set(across["method"]):
        return pd.DataFrame()
    within = ["recipe", "normalisation", "variant"]
    table = compare(across, {"method": "source-only"}, predictions, within=within)
    return table.drop(columns=["corpus", "task", "selection"], errors="ignore")


def display(frame: pd.DataFrame, digits: int = 1) -> pd.DataFrame:
    """Turn a table into text for the eye.

    Parameters
    ----------
    frame
        Any table of this module.
    digits
        Decimals of scores.

    Returns
    -------
    pandas.DataFrame
        Strings: intervals folded into their score as "86.9 [85.1, 88.7]", what is but a part as
        "1 of 10", recipe and condition into the method, a dagger at that of optimistic rows, names
        as they are written; citations, notes and empty columns dropped.
    """
    frame = frame.copy()
    if {"method", "recipe", "normalisation"} <= set(frame.columns):
        frame["method"] = [method_of(row) for row in frame.to_dict("records")]
        frame = frame.drop(columns=["recipe", "normalisation"])
    intervals = [c for c in frame if {f"{c}_low", f"{c}_high"} <= set(frame.columns)]
    hidden = {
        "optimistic",
        "citation",
        "note",
        *(f"{c}{end}" for c in intervals for end in ("_low", "_high")),
        *(f"of_{c}" for c in frame),
    }
    shown = pd.DataFrame(index=frame.index)
    for column in frame:
        name = str(column)
        if name in hidden:
            continue
        values = frame[column]
        if name in intervals:
            ends = zip(values, frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
            cells = [_with_interval(*end, digits=digits) for end in ends]
        else:
            small = 3 if name in ("p", "mcnemar_p", "pooled_p") else digits
            cells = [_cell(value, small) for value in values]
        if f"of_{name}" in frame:
            wholes = zip(cells, values, frame[f"of_{name}"], strict=True)
            cells = [_with_whole(*whole) for whole in wholes]
        if any(cells) or frame.empty:
            shown[HEADINGS.get(name, name.replace("_", " "))] = cells
    if "optimistic" in frame and "method" in shown:
        marks = np.where(frame["optimistic"].eq(True), f" {DAGGER}", "")
        shown["method"] = [
            method + mark for method, mark in zip(shown["method"], marks, strict=True)
        ]
    return shown


def write_table(
    frame: pd.DataFrame,
    folder: str | Path,
    name: str,
    caption: str = "",
    note: str = "",
    digits: int = 1,
) -> list[Path]:
    """Write a table as CSV (plain numbers), Markdown and LaTeX (as `display` shows it).

    Parameters
    ----------
    frame
        Any table of this module, or another frame.
    folder
        Where to; made if it is not there.
    name
        Of the files without their endings, and of LaTeX's label.
    caption, note
        Above and below the table. What the dagger means and whom the rows cite is added.
    digits
        Decimals of scores.

    Returns
    -------
    list of pathlib.Path
        The three files.

    Raises
    ------
    StudyError
        If the folder cannot be written.
    """
    shown = display(frame, digits)
    notes = [note]
    if DAGGER in "".join([*shown.columns, *shown.to_numpy(str).ravel()]):
        notes.append(DAGGER_NOTE)
    if "citation" in frame:
        cited = frame[frame["citation"] != ""].drop_duplicates(["citation", "note"])
        notes += [f"{row.reported_by}: {row.citation}; {row.note}." for row in cited.itertuples()]
    note = " ".join(filter(None, notes))
    texts = {
        "csv": frame.to_csv(index=False, float_format="%.4f", lineterminator="\n"),
        "md": to_markdown(shown, caption, note),
        "tex": to_latex(shown, name, caption, note),
    }
    paths = [Path(folder) / f"{name}.{ending}" for ending in texts]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StudyError(f"table {name}: cannot write to {folder} ({error.strerror})") from error
    return paths


def _cell(value: object, digits: int) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, float | np.floating):
        if digits == 3 and value < 0.001:
            return "<0.001"
        return f"{value:.{digits}f}"
    return name_of(str(value))


def _with_interval(value: float, low: float, high: float, digits: int) -> str:
    if np.isnan(value):
        return ""
    if np.isnan(low):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _with_whole(cell: str, value: float, whole: float) -> str:
    if pd.isna(value) or pd.isna(whole) or value >= whole:
        return cell
    return f"{cell} of {whole:.0f}"


def _interval(name: str, interval: Interval) -> dict[str, float]:
    """Return the three columns of an interval, in percent."""
    ends = ("", "_low", "_high")
    return {f"{name}{end}": 100 * value for end, value in zip(ends, interval, strict=True)}


def _in_percent(table: pd.DataFrame) -> pd.DataFrame:
    scores = [c for c in table if c.startswith(("uar", "war", "macro_f1", "pooled_", "speaker_"))]
    return table.assign(**{column: 100 * table[column].astype(float) for column in scores})


def _named_apart(table: pd.DataFrame) -> pd.DataFrame:
    """Add the variant to the recipe's name where one name stands for several settings."""
    if table.empty:
        return table
    keys = [c for c in (*CONDITION, "selection", "metric") if c in table]
    several = table.groupby(keys, sort=False)["variant"].transform("nunique") > 1
    named = table["recipe"] + " (" + table["variant"] + ")"
    return table.assign(recipe=table["recipe"].where(~several, named))
