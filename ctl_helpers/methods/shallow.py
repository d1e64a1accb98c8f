"""Shallow methods: a vector per utterance and a linear or kernel classifier. They need no Keras."""

import inspect
import random
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from ctl_helpers.errors import StudyError, check_choice
from ctl_helpers.features import SECONDS
from ctl_helpers.methods.outcome import Members, Method, Outcome, has_something_new
from ctl_helpers.methods.ridge import WeightedRidge
from ctl_helpers.methods.vectors import NORMALISATIONS, vectors
from ctl_helpers.plugins import is_reference, load, source_hash
from ctl_helpers.protocols import Problem

# One setting for all corpora, by cross-validation inside training parts of EmoDB and CASIA alone.
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "linear": {"kernel": "linear", "C": 0.01},
    "linear-balanced": {"kernel": "linear", "C": 0.001, "class_weight": "balanced"},
    "rbf": {"kernel": "rbf", "C": 10.0},  # gamma: 1 / (functionals x variance)
    "logistic": {"C": 0.1, "max_iter": 5000},
    # In these two RAVDESS had a say, too; see docs/modern.md.
    "ridge": {"alpha": 0.02, "sharpness": 6.0},
    "aligned-ridge": {"alpha": 0.02, "sharpness": 6.0, "strength": 0.3, "rounds": 5},
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
    def own(self) -> bool:
        """Whether the classifier is a user's function."""
        return is_reference(self.classifier)

    @cached_property
    def seeded(self) -> bool:
        """Whether speech of new speakers is drawn, or a user's function takes a seed."""
        drawn = self.normalisation in SECONDS
        return drawn or (self.own and _takes_seed(load(self.classifier)))

    @property
    def adapts(self) -> bool:
        """Whether the classifier learns from unlabelled speech, too."""
        return "rounds" in CLASSIFIERS.get(self.classifier, {})

    def suits(self, problem: Problem) -> bool:
        """Whether a classifier that adapts has something new to adapt to."""
        return not self.adapts or has_something_new(problem, self.normalisation)

    def spec(self) -> dict:
        """Describe the method for a run's specification, JSON."""
        settings = CLASSIFIERS.get(self.classifier, {})
        if self.own:
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
            model = _estimator(self.classifier, seed)
            heard = {"unlabelled": inputs[problem.unlabelled]} if self.adapts else {}
            model.fit(inputs[problem.train], problem.truth[problem.train], **heard)
            probabilities = _probabilities(model, inputs[problem.test], len(problem.classes))
        return Outcome({"last": probabilities}, details={"calibrated": False})


def _takes_seed(function) -> bool:
    with suppress(TypeError, ValueError):  # of what is no function, or written in C
        return "seed" in inspect.signature(function).parameters
    return False


def _estimator(classifier: str, seed: int):
    if is_reference(classifier):
        random.seed(seed)
        np.random.seed(seed)  # what scikit-learn draws from
        make = load(classifier, anew=True)
        made = make(seed=seed) if _takes_seed(make) else make()
        # A package.module is not executed anew, and may keep what it made.
        return made if ".py:" in classifier else deepcopy(made)
    settings = CLASSIFIERS[classifier]
    if "sharpness" in settings:
        return WeightedRidge(**settings)
    return LogisticRegression(**settings) if classifier == "logistic" else SVC(**settings)


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
