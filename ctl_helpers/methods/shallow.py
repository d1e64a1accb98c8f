"""Shallow methods: a vector per utterance and a linear or kernel classifier. They need no Keras."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from ctl_helpers.errors import StudyError, check_choice
from ctl_helpers.features import SECONDS
from ctl_helpers.methods.outcome import Members, Method, Outcome
from ctl_helpers.methods.vectors import NORMALISATIONS, vectors
from ctl_helpers.plugins import is_reference, load, source_hash
from ctl_helpers.protocols import Problem

# One setting for all corpora, by cross-validation inside training parts of EmoDB and CASIA alone.
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "linear": {"kernel": "linear", "C": 0.01},
    "linear-balanced": {"kernel": "linear", "C": 0.001, "class_weight": "balanced"},
    "rbf": {"kernel": "rbf", "C": 10.0},  # gamma: 1 / (functionals x variance)
    "logistic": {"C": 0.1, "max_iter": 5000},
    "ridge": {"alpha": 0.02, "sharpness": 6.0},  # RAVDESS had a say, too; see docs/modern.md
}


@dataclass(frozen=True)
class ShallowMethod(Method):
    """A classifier on one vector per utterance.

    Parameters
    ----------
    features : tuple of str
        Feature sets of vectors, such as ``egemaps``, ``compare``, ``mfcc-statistics``, or an array
        of one's own. Several stand side by side, see :func:`~ctl_helpers.methods.vectors.vectors`.
    classifier : str
        One of `CLASSIFIERS`, or ``file.py:function`` that returns an estimator with scikit-learn's
        ``fit`` and ``predict_proba``.
    normalisation : {"global", "speaker", "corpus"}
        Standardise each value by the training part, or within every speaker or corpus; the latter
        two look at the unlabelled speech of the test part too.

    References
    ----------
    Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS)", IEEE Transactions on
    Affective Computing, 2016; Schuller et al., "The INTERSPEECH 2016 computational paralinguistics
    challenge", Interspeech 2016.
    """

    features: tuple[str, ...]
    classifier: str
    normalisation: str = "global"

    kind = "shallow"
    packages = ("numpy", "scikit-learn")

    def __post_init__(self) -> None:
        """Check the normalisation."""
        check_choice(f"normalisation of {self.name}", self.normalisation, NORMALISATIONS)

    @cached_property
    def name(self) -> str:
        """Feature sets and classifier, joined by plus signs."""
        return "+".join([*self.features, self.classifier])

    @property
    def seeded(self) -> bool:
        """Whether speech of new speakers is drawn."""
        return self.normalisation in SECONDS

    def spec(self) -> dict:
        """Describe the method for a run's specification, JSON."""
        settings = CLASSIFIERS.get(self.classifier, {})
        if is_reference(self.classifier):
            settings = {"source": source_hash(self.classifier)}
        recipe = {"name": "", "normalisation": self.normalisation} | settings
        if len(self.features) > 1:
            recipe["joined"] = "equal variance"
        return {"name": self.name, "kind": self.kind, "recipe": recipe}

    def work(self, problem: Problem) -> float:
        """Utterances, to put long runs first."""
        return len(problem.train)

    def run(self, problem: Problem, seed: int, folder: Path, members: Members = ()) -> Outcome:
        """Fit the classifier and predict the test part."""
        if len(np.unique(problem.truth[problem.train])) < 2:
            raise StudyError(
                f"{self.name}, {problem.split}: expected two emotions or more to train on, got "
                f"one in {len(problem.train)} utterances"
            )
        with threadpool_limits(1):  # more threads are slower on so little, and round otherwise
            inputs = vectors(problem, self.normalisation, problem.train, self.name, seed)
            model = _estimator(self.classifier)
            model.fit(inputs[problem.train], problem.truth[problem.train])
            probabilities = _probabilities(model, inputs[problem.test], len(problem.classes))
        return Outcome({"last": probabilities}, details={"calibrated": False})


def _estimator(classifier: str):
    if is_reference(classifier):
        return load(classifier)()
    make = {"logistic": LogisticRegression, "ridge": WeightedRidge}.get(classifier, SVC)
    return make(**CLASSIFIERS[classifier])


class WeightedRidge:
    """Kernel ridge regression of the emotions, with values weighted by what they tell about them.

    A value's weight is its variance between the emotions of the training part by that inside them.
    The Gaussian kernel has fallen to 1/e at the mean squared distance of two training utterances.

    Parameters
    ----------
    alpha : float
        Weight of the penalty.
    sharpness : float
        Factor on the regressed shares (about 1 for the emotion, 0 for the others), before the
        softmax that makes probabilities of them.
    """

    def __init__(self, alpha: float, sharpness: float) -> None:
        self.alpha, self.sharpness = alpha, sharpness

    def fit(self, inputs: np.ndarray, truth: np.ndarray) -> "WeightedRidge":
        """Learn from vectors (utterances, values) and the numbers of their classes."""
        self.classes_, codes = np.unique(truth, return_inverse=True)
        groups = range(len(self.classes_))
        means = np.stack([inputs[codes == group].mean(axis=0) for group in groups])[codes]
        within = np.square(inputs - means).mean(axis=0)
        between = np.square(means - inputs.mean(axis=0)).mean(axis=0)
        self.weights = np.sqrt(between / (within + 1e-6))
        weighted = inputs * self.weights
        spread = weighted.var(axis=0, dtype=np.float64).sum() or 1.0
        self.model = KernelRidge(kernel="rbf", alpha=self.alpha, gamma=0.5 / spread)
        targets = np.eye(len(self.classes_))[codes]
        self.shares = targets.mean(axis=0)
        self.model.fit(weighted, targets - self.shares)
        return self

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        """Probabilities of shape (utterances, classes)."""
        shares = self.model.predict(inputs * self.weights) + self.shares
        return softmax(self.sharpness * shares, axis=1)


def _probabilities(model: Any, inputs: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities of all classes, 0 for those that the training part does not hold.

    Those of a support vector machine are the softmax of its decision function.
    """
    if isinstance(model, SVC):
        decision = model.decision_function(inputs)
        if decision.ndim == 1:
            decision = np.stack([-decision, decision], axis=1)
        known = softmax(decision, axis=1)
    else:
        known = model.predict_proba(inputs)
    probabilities = np.zeros((len(inputs), classes))
    probabilities[:, model.classes_] = known
    return probabilities
