"""What others published: numbers, each with what to know when comparing, and whom to cite."""

import math
import re
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora import CATALOGUE
from ctl_helpers.results.runs import PLACE

_ENTRIES = Path(__file__).with_name("references.bib")
_SAID_BY = ["corpus", "source", "target", "method", "recipe", "protocol"]
COLUMNS = ["method", *PLACE, "uar", "war", "reported_by", "citation", "note"]


def published() -> pd.DataFrame:
    """Return the published results, from ``published.csv`` beside this module.

    Returns
    -------
    pandas.DataFrame
        A row per method and corpus or pair: method, corpus ("" across corpora), source, target
        ("" inside one; ``"mean"`` for the mean over pairs as printed), protocol (``"kfold"``,
        ``"transductive"``, or ``"svm"`` for table S5), labels, classes, uar and war in
        **percent**, reported_by (authors and year), citation, note.

    Examples
    --------
    >>> table = published()
    >>> table.loc[(table.method == "CPAC") & (table.corpus == "emodb"), ["uar", "war"]].values
    array([[86.92, 86.15]])
    """
    return pd.read_csv(Path(__file__).with_name("published.csv"), keep_default_na=False)


def measured_alike(runs: pd.DataFrame) -> pd.DataFrame:
    """Pick the runs that published numbers may stand beside.

    They are of real speech, inside a corpus in ten folds, and of as many utterances as the
    published corpus has of their classes, give or take one in a hundred.
    """
    place = runs["corpus"].where(runs["source"].eq(""), runs["target"])
    size = pd.Series(map(_published_size, place, runs["classes"]), runs.index, float)
    is_other = (runs["of_utterances"].astype(float) - size).abs().gt(0.01 * size)
    in_folds = runs["of_folds"].eq(10) | runs["source"].ne("")
    return runs[runs["synthetic"].ne(True) & in_folds & ~is_other]


def _published_size(corpus: str, classes: str) -> float:
    """Utterances that a corpus has of some classes, as it was published."""
    entry = CATALOGUE.get(corpus)
    return sum(entry.emotions.get(one, 0) for one in classes.split(", ")) if entry else math.nan


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


def references(runs: pd.DataFrame) -> str:
    """Give the entries that some runs need, as BibTeX.

    Parameters
    ----------
    runs : DataFrame
        As :func:`ctl_helpers.results.runs.load_runs` gives it.
    """
    used = {"every"}
    for text in runs.reindex(columns=_SAID_BY).astype(str).to_numpy().ravel():
        used.update(re.findall(r"[\w-]+", text))
    _, *entries = re.split(r"\n(?=@)", _ENTRIES.read_text(encoding="utf-8"))
    keywords = [re.search(r"keywords = \{(.*)\}", entry)[1].split(", ") for entry in entries]
    return "\n".join(e for e, words in zip(entries, keywords, strict=True) if used & set(words))
