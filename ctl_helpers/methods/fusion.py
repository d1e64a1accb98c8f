"""Fusion: the mean of other methods' probabilities on the same problem."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ctl_helpers.features import TRANSDUCTIVE
from ctl_helpers.methods.outcome import Members, Method, Outcome
from ctl_helpers.protocols import Problem

_LEAST = 1e-3  # no probability is less: archives keep three decimals


def geometric(probabilities: np.ndarray, axis: int) -> np.ndarray:
    """Geometric mean over the members (axis 0), brought back to a sum of 1."""
    product = np.exp(np.log(np.maximum(probabilities, _LEAST)).mean(axis))
    return product / product.sum(axis=1, keepdims=True)


MEANS = {"mean": np.mean, "geometric": geometric}


@dataclass(frozen=True)
class FusionMethod(Method):
    """Average the probabilities of other methods, all with the same weight. It trains nothing.

    Parameters
    ----------
    mean : {"mean", "geometric"}
        The kind of mean.
    members : tuple of Method
        What is averaged; each is computed once, even if several fusions use it.
    """

    mean: str
    members: tuple[Method, ...]

    kind = "fusion"
    features = ()
    packages = ("numpy",)  # the members' are in the specification

    @cached_property
    def name(self) -> str:
        """The mean and its members."""
        return f"{self.mean}({', '.join(member.label for member in self.members)})"

    @cached_property
    def seeded(self) -> bool:
        """Whether the seed changes any member."""
        return any(member.seeded for member in self.members)

    def suits(self, problem: Problem) -> bool:
        """Whether all members do."""
        return all(member.suits(problem) for member in self.members)

    def spec(self) -> dict:
        """Describe the method for a run's specification, JSON."""
        kinds = {member.spec()["recipe"]["normalisation"] for member in self.members}
        # It hears the test voices if one of its members does.
        heard = [kind for kind in TRANSDUCTIVE if kind in kinds]
        kind = heard[0] if heard else "mixed" if len(kinds) > 1 else kinds.pop()
        recipe: dict = {"name": "", "normalisation": kind}
        recipe |= {"least": _LEAST} if self.mean == "geometric" else {}
        recipe["members"] = [one.spec() | {"versions": one.versions()} for one in self.members]
        return {"name": self.name, "kind": self.kind, "recipe": recipe}

    def run(self, problem: Problem, seed: int, folder: Path, members: Members = ()) -> Outcome:
        """Average the members' probabilities."""
        averaged = MEANS[self.mean](np.stack(members), 0)
        return Outcome({"last": averaged}, details={"calibrated": False})
