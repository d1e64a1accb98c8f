"""Recipes: named sets of hyperparameters, all settings of a training but its data."""

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ctl_helpers.errors import StudyError, check_choice, nearest
from ctl_helpers.features import NORMALISATIONS


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, inside a corpus or across corpora.

    Parameters
    ----------
    name : str
        What tables call it.
    network : str
        One of :data:`ctl_helpers.networks.NETWORKS`, or ``file.py:function`` of one's own.
    settings : dict
        What the network's function is called with, besides the shape and the number of classes.
    features, normalisation : str
        What is looked at and how it is scaled; see :mod:`ctl_helpers.features`.
    padding : {"kept", "zeroed"}
        ``"zeroed"``: statistics are those of frames with signal, and the others become zero.
    epochs, batch_size : int
        Length of the training. Across corpora the batch size counts the utterances of one side; a
        batch holds as many of the other.
    loss : {"margin", "margin+mse", "cross-entropy"}
        On the softmax's output.
    smoothing : float
        Of the labels.
    learning_rate, beta_1, beta_2, epsilon, weight_decay : float
        Of AdamW (of Adam where the weight decay is 0).
    schedule : {"constant", "plateau"}
        ``"plateau"`` rises to the learning rate over 20 % of the steps, falls to 30 % of it by the
        middle and stays there, for weights to be averaged.
    averaging : float
        Share of the epochs, at the end, over which the weights are averaged (Izmailov et al., UAI
        2018). 0 keeps those of the last epoch.
    resampled : tuple of floats
        Factors by which the recordings are also played faster and higher, to stand for other
        speakers (Ko et al., Interspeech 2015). Each time an utterance is drawn, it is one of these
        versions or the recording itself.
    shift : int
        Utterances are moved by up to so many frames, either way.
    cutmix : float
        Share of the utterances whose beginning or end is taken from another; 0 for none.
    gamma : float, optional
        Across corpora, weight of the source in CAAM's margin disparity; by default the published
        one of the pair, see :func:`gamma_of`.
    strength : float
        Of the adaptation: multiplies the discrepancy between the corpora, or, in the adversarial
        methods, the gradient that reaches the encoder.
    reversal_steps : float
        How slowly gradient reversal sets in: its weight after i steps is
        ``strength * (2 / (1 + exp(-i / reversal_steps)) - 1)``.

    References
    ----------
    Wen, Ye et al., "CTL-MTNet", IJCAI 2022, section 3 and appendix.
    """

    name: str
    network: str = "cpac"
    settings: Mapping[str, Any] = field(default_factory=dict)
    features: str = "released"
    normalisation: str = "none"
    padding: str = "kept"
    epochs: int = 300
    batch_size: int = 64
    loss: str = "margin"
    smoothing: float = 0.1
    learning_rate: float = 1e-3
    beta_1: float = 0.975
    beta_2: float = 0.932
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    schedule: str = "constant"
    averaging: float = 0.0
    resampled: tuple[float, ...] = ()
    shift: int = 0
    cutmix: float = 0.0
    gamma: float | None = None
    strength: float = 1.0
    reversal_steps: float = 1000.0

    def __post_init__(self) -> None:
        """Check what a person can mistype."""
        object.__setattr__(self, "resampled", tuple(self.resampled))
        for names, kind, least, most, expected in _BOUNDS:
            for name in names.split():
                values = self.resampled if name == "resampled" else (getattr(self, name),)
                for value in values:
                    valid = isinstance(value, kind) and not isinstance(value, bool)
                    if not (valid and least <= value <= most):
                        got = f"got {getattr(self, name)!r}"
                        raise StudyError(f"recipe field {name}: expected {expected}, {got}")
        for name, allowed in _CHOICES.items():
            check_choice(f"recipe field {name}", getattr(self, name), allowed)

    def change(self, **changes: Any) -> "Recipe":
        """Change some fields; the name then says which. Settings of another network are dropped.

        Raises
        ------
        StudyError
            For an unknown field or value.

        Examples
        --------
        >>> recipe("released").change(epochs=50).name
        'released (epochs=50)'
        """
        changes = {k: v for k, v in changes.items() if v is not None}
        check_fields(changes)
        own = self.settings if changes.get("network", self.network) == self.network else {}
        changes["settings"] = {**own, **changes.get("settings", {})}
        new = {k: v for k, v in changes.items() if v != getattr(self, k)}
        said = [f"{k}={v}" for k, v in new.items() if k not in ("settings", "normalisation")]
        settings = new.get("settings", {}).items()
        said += [f"{k}={v}" for k, v in settings if self.settings.get(k, ...) != v]
        name = f"{self.name} ({', '.join(said)})" if said else self.name
        return replace(self, **{"name": name} | new)


_NUMBER, _TINY, _INFINITE = int | float, sys.float_info.min, math.inf
_BOUNDS = (  # fields, kind, least, most, what a message says
    ("epochs batch_size", int, 1, _INFINITE, "a number from 1"),
    ("shift", int, 0, _INFINITE, "a number from 0"),
    ("strength weight_decay", _NUMBER, 0, _INFINITE, "a number from 0"),
    ("averaging cutmix smoothing", _NUMBER, 0, 1, "a share from 0 to 1"),
    ("learning_rate epsilon reversal_steps", _NUMBER, _TINY, _INFINITE, "a number above 0"),
    ("resampled", _NUMBER, 0.5, 2, "a list of factors from 0.5 to 2"),
)
_CHOICES = {
    "normalisation": NORMALISATIONS,
    "padding": ("kept", "zeroed"),
    "loss": ("margin", "margin+mse", "cross-entropy"),
    "schedule": ("constant", "plateau"),
}


def check_fields(names: Iterable[str]) -> None:
    """Raise a StudyError for the name of a field that recipes do not have."""
    known = [one.name for one in fields(Recipe)]
    for name in names:
        if name not in known:
            hint = nearest(name, known) or f"; they have {', '.join(known)}"
            raise StudyError(f"recipes have no field {name!r}{hint}")


_VOICES = (0.84, 0.92, 1.09, 1.19)
_GAINS = {"capsule_gain": 32.0, "head_gain": 8.0}

# As the code was released: librosa's default frames, the margin loss alone.
_RELEASED = Recipe("released")
# The same layers, trained as one would today; docs/modern.md says how it was found.
_MODERN = Recipe(
    "modern",
    settings={"norm": "batch", "capsule_gain": 16.0, "head_gain": 4.0},
    features="pitch",
    normalisation="global",
    padding="zeroed",
    epochs=70,
    batch_size=16,
    loss="cross-entropy",
    learning_rate=2e-3,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-7,
    weight_decay=1e-2,
    schedule="plateau",
    averaging=0.5,
    shift=8,
    cutmix=0.5,
)
# The same for voices never heard: more voices by resampling, moments in place of fine cepstra.
_INDEPENDENT = replace(
    _MODERN,
    name="independent",
    features="moments",
    normalisation="speaker",
    resampled=_VOICES,
    epochs=40,
)
# For the perceptron, on vectors of functionals.
_FUNCTIONALS = replace(
    _MODERN,
    name="functionals",
    network="perceptron",
    settings={},
    features="compare+egemaps",
    padding="kept",
    epochs=60,
    batch_size=32,
    learning_rate=1e-3,
    weight_decay=0.1,
    shift=0,
    cutmix=0.0,
)
# For trials: learns the miniature corpora in seconds.
_QUICK = Recipe(
    "quick",
    settings=_GAINS | {"dropout": (0.25, 0.25, 0.25), "head_dropout": 0.0},
    features="pitch",
    normalisation="global",
    padding="zeroed",
    epochs=14,
    batch_size=8,
    loss="cross-entropy",
    smoothing=0.0,
    learning_rate=2e-3,
    beta_1=0.9,
    beta_2=0.99,
    epsilon=1e-7,
    averaging=0.25,
)
# Across corpora: encoder and heads of CAAM, as released.
_CAAM = Recipe(
    "released",
    network="caam",
    epochs=120,
    batch_size=512,
    loss="cross-entropy",
    smoothing=0.0,
    beta_2=0.935,
)
# Across corpora, what differs between them besides emotion is taken out first: silence at the ends,
# level, and fine cepstra, which tell voices and languages apart; each speaker is standardised over
# the frames that hold speech.
_TRANSFER = replace(
    _INDEPENDENT,
    name="modern",
    network="caam",
    settings={**_MODERN.settings, "dropout": (0.5, 0.25, 0.25), "head_dropout": 0.2},
    epochs=20,
    batch_size=32,
    reversal_steps=500.0,
)


def _by_name(*recipes: Recipe) -> dict[str, Recipe]:
    return {one.name: one for one in recipes}


RECIPES = _by_name(
    _RELEASED,
    # As the paper describes it: 50 ms / 12.5 ms frames, margin + 0.392 x mean squared error.
    Recipe("paper", features="paper", loss="margin+mse"),
    _MODERN,
    _INDEPENDENT,
    # TIM-Net as released (Ye et al., ICASSP 2023).
    Recipe("timnet", "timnet", epochs=500, loss="cross-entropy", beta_1=0.93, beta_2=0.98),
    _FUNCTIONALS,
    _QUICK,
)
TRANSFER_RECIPES = _by_name(
    _CAAM,
    replace(_CAAM, name="paper", features="paper"),
    _TRANSFER,
    replace(_FUNCTIONALS, normalisation="speaker", reversal_steps=500.0),
    replace(_QUICK, network="caam", settings=_GAINS, normalisation="speaker", epochs=10),
)

GAMMAS = {("casia", "emodb"): 1.5, ("emodb", "casia"): 1.6, ("emodb", "savee"): 1.3}


def gamma_of(source: str, target: str) -> float:
    """Weight of the source in CAAM's margin disparity, as published; 1.5 for other pairs.

    Examples
    --------
    >>> gamma_of("emodb", "casia")
    1.6
    """
    return GAMMAS.get((source, target), 1.5)


def recipe(name: str, across: bool = False, **changes: Any) -> Recipe:
    """Look a recipe up and change some of its fields.

    Parameters
    ----------
    name : str
        One of `RECIPES`, or of `TRANSFER_RECIPES`.
    across : bool
        Whether the recipe is for training across corpora.
    **changes
        Fields and their new values; None keeps a field as it is.

    Returns
    -------
    Recipe

    Raises
    ------
    StudyError
        For an unknown name, field or value.

    Examples
    --------
    >>> recipe("released", epochs=50).epochs
    50
    """
    table = TRANSFER_RECIPES if across else RECIPES
    if name not in table:
        hint = nearest(name, table)
        raise StudyError(f"recipe {name!r}: expected one of {', '.join(table)}{hint}")
    return table[name].change(**changes)
