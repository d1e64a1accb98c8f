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
        training part), some seconds (``5 s_low`` and ``5 s_high``: of the draws of these seconds,
        one for each seed, the lowest and the highest), and all of it.
    """
    inside = runs[runs["corpus"].ne("") & runs["selection"].ne(OPTIMISTIC)]
    keys = ["corpus", "protocol", "method", "recipe", "selection", "normalisation"]
    draws = (100 * inside.groupby([*keys, "seed"])["uar"].mean()).groupby(level=keys)
    means, lows, highs = (
        table.unstack().reindex(columns=list(_COLUMNS)).rename(columns=_COLUMNS)
        for table in (draws.mean(), draws.min(), draws.max())
    )
    some = [_COLUMNS[kind] for kind in SECONDS]
    means = means.join(lows[some].add_suffix("_low")).join(highs[some].add_suffix("_high"))
    means = means[means[some].notna().any(axis=1)].reset_index()
    methods = [method_of(row) for row in means.to_dict("records")]
    means = means.assign(corpus=means["corpus"].map(name_of), method=methods)
    return means.drop(columns=["recipe", "selection"]).rename_axis(columns=None)
