"""One division of a manifest's rows."""

from dataclasses import dataclass

import numpy as np


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
