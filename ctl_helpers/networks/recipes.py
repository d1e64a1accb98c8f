"""Recipes: named sets of all settings of a training but its data, as recipes.toml lists them."""

import math
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ctl_helpers.errors import StudyError, check_choice, nearest
from ctl_helpers.features import NORMALISATIONS


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, with or without a method of adaptation.

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
    weighted : bool
        Whether the values of a vector are weighted by what they tell about the emotions of the
        training part; see :func:`ctl_helpers.methods.vectors.telling`.
    padding : {"kept", "zeroed"}
        ``"zeroed"``: statistics are those of frames with signal, and the others become zero.
    epochs, batch_size : int
        Length of the training. With adaptation the batch size counts the labelled utterances; a
        batch holds as many of those that are adapted to.
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
        Weight of the labelled part in CAAM's margin disparity; by default the published one of the
        pair, 1.5 for speakers held out, see :func:`gamma_of`.
    strength : float
        Of the adaptation: multiplies the discrepancy, or, in the adversarial
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
    weighted: bool = False
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
                value = getattr(self, name)
                several = value if name == "resampled" else [value]
                if value is not None and not all(_within(x, kind, least, most) for x in several):
                    raise StudyError(f"recipe field {name}: expected {expected}, got {value!r}")
        for name, allowed in _CHOICES.items():
            check_choice(f"recipe field {name}", getattr(self, name), allowed)

    def spec(self) -> dict[str, Any]:
        """Describe the recipe for a run's specification, JSON."""
        described = asdict(self)
        if not self.weighted:  # the field came later; runs without it keep their names
            del described["weighted"]
        return described

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
        if tuple(new.get("resampled", ())) == self.resampled:  # a list of the same
            new.pop("resampled", None)
        said = [f"{k}={v}" for k, v in new.items() if k not in ("settings", "normalisation")]
        settings = new.get("settings", {}).items()
        said += [f"{k}={v}" for k, v in settings if self.settings.get(k, ...) != v]
        name = f"{self.name} ({', '.join(said)})" if said else self.name
        return replace(self, **{"name": name} | new)


def _within(value: Any, kind: Any, least: float, most: float) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most


_NUMBER, _TINY, _INFINITE = int | float, sys.float_info.min, math.inf
_BOUNDS = (  # fields, kind, least, most, what a message says
    ("epochs batch_size", int, 1, _INFINITE, "a number from 1"),
    ("shift", int, 0, _INFINITE, "a number from 0"),
    ("strength weight_decay", _NUMBER, 0, _INFINITE, "a number from 0"),
    ("averaging cutmix smoothing beta_1 beta_2", _NUMBER, 0, 1, "a share from 0 to 1"),
    ("learning_rate epsilon reversal_steps gamma", _NUMBER, _TINY, _INFINITE, "a number above 0"),
    ("resampled", _NUMBER, 0.5, 2, "a list of factors from 0.5 to 2"),
)
_KINDS = {  # of the fields that are no numbers
    "settings": (Mapping, "a mapping, such as {attention: null}"),
    "network": (str, "a name"),
    "features": (str, "a name"),
    "weighted": (bool, "true or false"),
    "resampled": (list | tuple, "a list of factors from 0.5 to 2"),
}
_CHOICES = {
    "normalisation": NORMALISATIONS,
    "padding": ("kept", "zeroed"),
    "loss": ("margin", "margin+mse", "cross-entropy"),
    "schedule": ("constant", "plateau"),
}


def check_fields(changes: Mapping[str, Any]) -> None:
    """Raise a StudyError for a field that recipes do not have, or a value of another kind."""
    known = [one.name for one in fields(Recipe) if one.name != "name"]
    for name, value in changes.items():
        if name not in known:
            hint = nearest(str(name), known) or f"; they have {', '.join(known)}"
            raise StudyError(f"recipes have no field {name!r}{hint}")
        kind, expected = _KINDS.get(name, (object, ""))
        if value is not None and not isinstance(value, kind):
            raise StudyError(f"recipe field {name}: expected {expected}, got {value!r}")


_FACTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _recipe(side: str, name: str) -> Recipe:
    """Make a recipe of recipes.toml: the one that it is like, with fields of its own."""
    own = dict(_FACTS[side][name])
    like = own.pop("like", None)
    return replace(_recipe(*like.split(".")) if like else Recipe(name), **own, name=name)


RECIPES = {name: _recipe("inside", name) for name in _FACTS["inside"]}
TRANSFER_RECIPES = {name: _recipe("across", name) for name in _FACTS["across"]}
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
        Whether the recipe is for a method of adaptation.
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
