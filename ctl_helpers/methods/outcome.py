"""What a method returns, and what every method has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctl_helpers.protocols import Problem
from ctl_helpers.versions import version_of

if TYPE_CHECKING:
    import keras

SELECTIONS = ("last", "validation", "best_test")
Members = Sequence[np.ndarray]  # probabilities of the members of a fusion


@dataclass(frozen=True, eq=False)
class Outcome:
    """Predictions for the test part of a problem, and what came with them.

    Parameters
    ----------
    probabilities : dict of str to ndarray of shape (test, classes)
        By how the epoch was selected: ``"last"``, ``"validation"``, ``"best_test"``.
    epochs : dict of str to int
        The epoch of each selection that picked one.
    embeddings : dict of str to ndarray
        Arrays to keep beside the predictions, of the test part: ``embeddings``.
    history : list of dict
        A row per epoch.
    model : keras.Model, optional
        The trained network.
    card : dict
        What a saved model needs to be used: classes, feature settings, statistics.
    details : dict
        Further facts for the run's record: parameters, epochs, utterances set aside.
    """

    probabilities: Mapping[str, np.ndarray]
    epochs: Mapping[str, int] = field(default_factory=dict)
    embeddings: Mapping[str, np.ndarray] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()
    model: "keras.Model | None" = None
    card: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


class Method:
    """A method turns a problem and a seed into an outcome.

    It knows no protocols, stores or reports. Everything that may change its numbers is in
    :meth:`spec`. The defaults suit a method that draws no random numbers and needs no features.

    Attributes
    ----------
    name : str
        What tables call it.
    kind : str
        ``"network"``, ``"adaptation"``, ``"shallow"``, ``"fusion"`` or ``"given"``.
    selection : str
        The epoch that is scored.
    seeded : bool
        Whether the seed changes anything.
    adapts : bool
        Whether it learns from unlabelled speech of the target, or of the speakers held out.
    features : tuple of str or FeatureSettings
        What has to be extracted for it, in the order of `Problem.features`.
    members : sequence of Method
        Methods whose predictions on the same problem it needs.
    packages : tuple of str
        Those that may change its numbers.
    """

    name: Any  # so that it may be a property or a field
    kind: str
    features: Any
    members: Any = ()
    packages: tuple[str, ...] = ()
    seeded: Any = False
    adapts: Any = False
    selection: str = "last"

    @property
    def label(self) -> str:
        """The method and its recipe, as a study names it."""
        return self.name

    @property
    def needed(self) -> list["Method"]:
        """The method, its members, and theirs."""
        return [self, *(method for member in self.members for method in member.needed)]

    def suits(self, problem: Problem) -> bool:
        """Whether it is meant for problems of this kind."""
        return True

    def spec(self) -> dict:
        """Describe the method for a run's specification, JSON."""
        raise NotImplementedError

    def versions(self) -> dict[str, str]:
        """Give the versions of its packages, without importing them."""
        return {name: version_of(name) for name in self.packages}

    def work(self, problem: Problem) -> float:
        """Utterances times epochs, to put long runs first."""
        return 0.0

    def run(self, problem: Problem, seed: int, folder: Path, members: Members = ()) -> Outcome:
        """Solve a problem; ``folder`` is for checkpoints, ``members`` are probabilities."""
        raise NotImplementedError


def has_something_new(problem: Problem, normalisation: str) -> bool:
    """Whether there is unlabelled speech that a method of adaptation may learn from.

    That is another corpus, or speakers held out, if the method normalises each speaker and so
    listens to them anyway.
    """
    return problem.across or (problem.held_out and normalisation == "speaker")
