"""Kernel ridge regression of the emotions, which may learn from unlabelled speech, too."""

import numpy as np
from scipy.special import softmax
from sklearn.metrics.pairwise import rbf_kernel

from ctl_helpers.methods.vectors import telling


class WeightedRidge:
    """Kernel ridge regression of the emotions, with values weighted by what they tell about them.

    Values are weighted by :func:`~ctl_helpers.methods.vectors.telling`. The Gaussian kernel has
    fallen to 1/e at the mean squared distance of two utterances.

    With `rounds`, it adapts to unlabelled speech: the regressed shares are pulled to have the same
    mean there as in the training part, over all utterances and over those of each emotion. The
    emotions of unlabelled utterances are the probabilities of the round before; weights are of both
    parts.

    Parameters
    ----------
    alpha : float
        Weight of the penalty.
    sharpness : float
        Factor on the regressed shares (about 1 for the emotion, 0 for the others), before the
        softmax that makes probabilities of them.
    strength : float
        Weight of the squared distance between two means, where the error of one utterance weighs 1:
        times 1 / (1/n + 1/m) for means over n and m utterances, as few tell little.
    rounds : int
        How often to regress with guesses of the unlabelled emotions.

    References
    ----------
    Long et al., "Adaptation regularization: a general framework for transfer learning", IEEE TKDE
    2014: its ARRLS without the manifold, and with probabilities in place of pseudo labels.
    """

    def __init__(
        self, alpha: float, sharpness: float, strength: float = 0.0, rounds: int = 0
    ) -> None:
        self.alpha, self.sharpness, self.strength, self.rounds = alpha, sharpness, strength, rounds

    def fit(
        self, inputs: np.ndarray, truth: np.ndarray, unlabelled: np.ndarray | None = None
    ) -> "WeightedRidge":
        """Learn from vectors (utterances, values) and the numbers of their classes.

        ``unlabelled`` are the vectors to adapt to, which `rounds` need.
        """
        self.classes_, codes = np.unique(truth, return_inverse=True)
        self.labels = np.eye(len(self.classes_))[codes]
        self.shares = self.labels.mean(axis=0)
        self._regress(inputs, self.labels)
        for _ in range(self.rounds):
            emotions = np.concatenate([self.labels, self.predict_proba(unlabelled)])
            self._regress(np.concatenate([inputs, unlabelled]), emotions)
        return self

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        """Probabilities of shape (utterances, classes)."""
        kernel = rbf_kernel(inputs * self.weights, self.weighted, self.gamma)
        return softmax(self.sharpness * (kernel @ self.solution + self.shares), axis=1)

    def _regress(self, inputs: np.ndarray, emotions: np.ndarray) -> None:
        """Regress the labels; `inputs` and `emotions` begin with the labelled utterances."""
        self.weights = telling(inputs, emotions)
        self.weighted = inputs * self.weights
        self.gamma = 0.5 / (self.weighted.var(axis=0, dtype=np.float64).sum() or 1.0)
        system = self._system(rbf_kernel(self.weighted, gamma=self.gamma), emotions)
        system[np.diag_indices_from(system)] += self.alpha
        targets = np.zeros_like(emotions)
        targets[: len(self.labels)] = self.labels - self.shares
        self.solution = np.linalg.solve(system, targets)

    def _system(self, kernel: np.ndarray, emotions: np.ndarray) -> np.ndarray:
        """Multiply the quadratic form of errors and of distances between means by the kernel."""
        known = np.arange(len(emotions)) < len(self.labels)
        if known.all():
            return kernel
        together_and_each = np.column_stack([np.ones(len(emotions)), emotions])
        here, there = (together_and_each * part[:, None] for part in (known, ~known))
        sizes, others = here.sum(axis=0), there.sum(axis=0)
        apart = here / sizes - there / others
        weights = self.strength / (1 / sizes + 1 / others)
        return kernel * known[:, None] + (apart * weights) @ (apart.T @ kernel)
