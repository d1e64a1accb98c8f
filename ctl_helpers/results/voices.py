"""How much unlabelled speech of a new speaker its normalisation needs."""

import pandas as pd

from ctl_helpers.features import SECONDS
from ctl_helpers.results.naming import method_of, place_of
from ctl_helpers.results.runs import OPTIMISTIC

_COLUMNS = {"global": "none"} | {kind: f"{n:.0f} s" for kind, n in SECONDS.items()}
_COLUMNS |= {"speaker": "all"}


def seconds_of_a_new_voice(runs: pd.DataFrame) -> pd.DataFrame:
    """Set scores with held-out speakers beside each other by how much of the speaker is known.

    Parameters
    ----------
    runs
        From `runs.load_runs`.

    Returns
    -------
    pandas.DataFrame
        A row per corpus, protocol and method that ran with some seconds of a speaker: corpus,
        protocol, method, then the mean UAR in percent with nothing of the speaker (scaled by the
        training part), some seconds, and all of it.
    """
    rows = []
    inside = runs[runs["corpus"].ne("") & runs["selection"].ne(OPTIMISTIC)]
    for (_, protocol, *_), group in inside.groupby(["corpus", "protocol", "method", "recipe"]):
        if not group["normalisation"].isin(SECONDS).any():
            continue
        first = group.iloc[0].to_dict()
        means = 100 * group.groupby("normalisation")["uar"].mean()
        row = {"corpus": place_of(first), "protocol": protocol}
        row["method"] = method_of(first | {"normalisation": ""})
        rows.append(row | means.rename(_COLUMNS).to_dict())
    return pd.DataFrame(rows).reindex(columns=["corpus", "protocol", "method", *_COLUMNS.values()])
