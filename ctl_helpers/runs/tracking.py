"""Runs in MLflow too, for those who watch their experiments there."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ctl_helpers.errors import log


def track(
    name: str, facts: Mapping[str, Any], scores: Mapping[str, float], history: Sequence[Mapping]
) -> None:
    """Log a run to MLflow, if its variable ``MLFLOW_TRACKING_URI`` is set; warn where it cannot.

    Parameters
    ----------
    name : str
        Of the run.
    facts : dict
        What was run.
    scores : dict
        What came out.
    history : list of dict
        A row per epoch.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return
    try:
        import mlflow

        with mlflow.start_run(run_name=name):
            mlflow.log_params(dict(facts))
            mlflow.log_metrics(dict(scores))
            for row in history:
                values = {key: value for key, value in row.items() if key != "epoch"}
                mlflow.log_metrics(values, step=row["epoch"])
    except Exception as error:  # no package, no server: the run itself is well
        log.warning("MLflow does not have run %s: %s", name, error)
