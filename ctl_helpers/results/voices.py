"""How much unlabelled speech of a new speaker its normalisation needs."""

import pandas as pd

from ctl_helpers.features import SECONDS
from ctl_helpers.results.naming import method_of, name_of
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
    inside = runs[runs["corpus"].ne("") & runs["selection"].ne(OPTIMISTIC)]
    keys = ["corpus", "protocol", "method", "recipe", "selection", "normalisation"]
    means = 100 * inside.groupby(keys)["uar"].mean().unstack().reindex(columns=list(_COLUMNS))
    means = means[means[list(SECONDS)].notna().any(axis=1)].rename(columns=_COLUMNS).reset_index()
    methods = [method_of(row) for row in means.to_dict("records")]
    means = means.assign(corpus=means["corpus"].map(name_of), method=methods)
    return means.drop(columns=["recipe", "selection"]).rename_axis(columns=None)
