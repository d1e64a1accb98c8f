"""One division of a manifest's rows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctl_helpers.corpora.manifest import check_known
from ctl_helpers.errors import StudyError


@dataclass(frozen=True, eq=False)
class Split:
    """One division of a manifest's rows into a training and a test part.

    Parameters
    ----------
    name : str
        As ``"fold 0"`` or ``"speaker 03"``.
    train, test : int array
        Rows, in ascending order.
    held_out : bool
        Whether no speaker is in both parts, so that a validation part must not share one either.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    held_out: bool = False


def groups_of(manifest: pd.DataFrame, column: str, protocol: str, at_least: int) -> np.ndarray:
    """Name the speaker (or sentence) of every row, with the corpus where there are several.

    Raises
    ------
    StudyError
        When it is not known for every row, or there are fewer than `at_least`.
    """
    check_known(manifest, column, f"protocol {protocol!r}")
    groups = manifest[column]
    if manifest["corpus"].nunique() > 1:
        groups = manifest["corpus"] + " " + groups
    if groups.nunique() < at_least:
        raise StudyError(
            f"protocol {protocol!r}: expected at least {at_least} {column}s, got "
            f"{groups.nunique()} ({', '.join(sorted(groups.unique()))})"
        )
    return groups.to_numpy(object)
