"""The numbers that others published, each with its source and what to know when comparing."""

from importlib.resources import files

import pandas as pd

from ctl_helpers.results.runs import PLACE

COLUMNS = ["method", *PLACE, "uar", "war", "reported_by", "citation", "note"]


def published(across: bool | None = None) -> pd.DataFrame:
    """Return the published results, from ``published.csv`` beside this module.

    Parameters
    ----------
    across
        True for those across corpora, False for those inside one, None for all.

    Returns
    -------
    pandas.DataFrame
        A row per method and corpus or pair: method, corpus ("" across corpora), source, target
        ("" inside one; ``"mean"`` for the mean over pairs as printed), protocol (``"kfold"``,
        ``"transductive"``, or ``"svm"`` for table S5), labels, classes, uar and war in
        **percent**, reported_by (authors and year), citation, note.

    Examples
    --------
    >>> table = published(across=False)
    >>> table.loc[(table.method == "CPAC") & (table.corpus == "emodb"), ["uar", "war"]].values
    array([[86.92, 86.15]])
    """
    with (files("ctl_helpers.results") / "published.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, keep_default_na=False)
    if across is None:
        return table
    return table[(table["source"] != "") == across].reset_index(drop=True)


def measured_alike(runs: pd.DataFrame) -> pd.DataFrame:
    """Pick the runs that published numbers may stand beside: real speech, inside in ten folds."""
    return runs[runs["synthetic"].ne(True) & (runs["of_folds"].eq(10) | runs["source"].ne(""))]


def published_beside(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the published results that may stand beside some of this study's.

    Parameters
    ----------
    runs
        From `runs.load_runs`; those that are not `measured_alike` do not count.

    Returns
    -------
    pandas.DataFrame
        As `published`: rows of the same corpus or pair, of the same protocol and over the same
        classes, so never of another chance level. The mean over pairs as printed is
        there where all of its pairs are.
    """
    theirs = published()
    ran = pd.MultiIndex.from_frame(measured_alike(runs)[PLACE].drop_duplicates())
    same = pd.MultiIndex.from_frame(theirs[PLACE]).isin(ran)
    theirs["ran"] = same
    pairs = theirs[(theirs["source"] != "") & (theirs["source"] != "mean")]
    complete = pairs.groupby("protocol")["ran"].all()
    same |= (theirs["source"] == "mean") & theirs["protocol"].map(complete).eq(True)
    return theirs.loc[same, COLUMNS].reset_index(drop=True)
