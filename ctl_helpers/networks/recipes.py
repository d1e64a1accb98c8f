"""Recipes: named sets of hyperparameters, the whole of what a run may vary besides its data."""

import dataclasses
from dataclasses import dataclass

from ctl_helpers.errors import StudyError


@dataclass(frozen=True)
class Recipe:
    """How CPAC is trained inside a corpus.

    Parameters
    ----------
    name : str
        What tables call it.
    features, normalisation : str
        Preset of the features, and how they are scaled; see :mod:`ctl_helpers.features.mfcc` and
        :mod:`ctl_helpers.features.normalisation`.
    padding : {"kept", "zeroed"}
        ``"zeroed"``: statistics are those of frames with signal, and the others become zero.
    epochs, batch_size : int
        Length of the training.
    norm, attention, capsules, convolutions, dropout, head_dropout, precision,
    capsule_gain, head_gain
        Of the network; see :func:`ctl_helpers.networks.cpac.cpac`.
    loss : {"margin", "margin+mse", "cross-entropy"}
        On the softmax's output.
    smoothing : float
        Of the labels.
    learning_rate, beta_1, beta_2, epsilon, weight_decay : float
        Of AdamW (of Adam where the weight decay is 0).
    schedule : {"constant", "one-cycle", "plateau"}
        ``"one-cycle"`` rises to the learning rate over the first 30 % of the steps and falls to
        almost nothing along a cosine (Smith and Topin, 2018). ``"plateau"`` rises over 20 %, falls
        to 30 % of the learning rate by the middle and stays there, for weights to be averaged.
    averaging : float
        Share of the epochs, the last, after each of which the weights are taken down; the network
        is left with their average (Izmailov et al., UAI 2018). 0 leaves it with the last.
    resampled : tuple of floats
        Factors by which the recordings are also played faster, and higher: every time an utterance
        comes up it is one of these versions, or as it was recorded (Ko et al., Interspeech 2015).
        They stand for other speakers.
    shift : int
        Utterances are moved by up to so many frames, either way.
    time_mask, frequency_mask : int
        Greatest width, in frames and coefficients, of two SpecAugment masks each.
    mixup : float
        Both parameters of the beta distribution that mixes pairs of utterances; 0 for none.
    cutmix : float
        Share of the utterances whose beginning or end is taken from another; 0 for none.
    speed : float
        Utterances are played slower or faster by up to this fraction; 0 for none.
    noise : float
        Standard deviation of white noise on the normalised coefficients; 0 for none.
    """

    name: str
    features: str = "released"
    normalisation: str = "none"
    padding: str = "kept"
    epochs: int = 300
    batch_size: int = 64
    norm: str = "frozen"
    attention: str | None = "scaled"
    capsules: bool = True
    convolutions: bool = True
    dropout: tuple[float, float, float] = (0.5, 0.25, 0.25)
    head_dropout: float = 0.2
    precision: str = "float32"
    capsule_gain: float = 1.0
    head_gain: float = 1.0
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
    time_mask: int = 0
    frequency_mask: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    speed: float = 0.0
    noise: float = 0.0

    def __post_init__(self):
        """Check what a person can mistype."""
        _check("epochs", self.epochs, self.epochs >= 1, "1 or more")
        _check("batch_size", self.batch_size, self.batch_size >= 1, "1 or more")
        _check("averaging", self.averaging, 0 <= self.averaging <= 1, "a share from 0 to 1")
        factors = isinstance(self.resampled, tuple | list) and all(
            isinstance(factor, int | float) and 0.5 <= factor <= 2 for factor in self.resampled
        )
        _check("resampled", self.resampled, factors, "a list of factors from 0.5 to 2")
        _check("cutmix", self.cutmix, 0 <= self.cutmix <= 1, "a share from 0 to 1")
        _check("speed", self.speed, 0 <= self.speed < 1, "0 or more, and less than 1")
        _check("noise", self.noise, self.noise >= 0, "0 or more")
        for field, allowed in _CHOICES.items():
            value = getattr(self, field)
            _check(field, value, value in allowed, f"one of {', '.join(map(str, allowed))}")


_CHOICES = {
    "features": ("released", "paper", "pitch", "moments"),
    "normalisation": ("none", "utterance", "speaker", "corpus", "global"),
    "padding": ("kept", "zeroed"),
    "norm": ("frozen", "batch"),
    "attention": ("scaled", "plain", None),
    "precision": ("float32", "bfloat16"),
    "loss": ("margin", "margin+mse", "cross-entropy"),
    "schedule": ("constant", "one-cycle", "plateau"),
}


def _check(field, value, valid, expected):
    if not valid:
        raise StudyError(f"recipe field {field}: expected {expected}, got {value!r}")


# What the modern recipes share.
_MODERN = {
    "padding": "zeroed",
    "norm": "batch",
    "capsule_gain": 16.0,
    "head_gain": 4.0,
    "loss": "cross-entropy",
    "learning_rate": 2e-3,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-7,
    "weight_decay": 1e-2,
    "schedule": "plateau",
    "averaging": 0.5,
    "shift": 8,
    "cutmix": 0.5,
}

RECIPES = {
    # As the code was released: librosa's default frames, the margin loss alone.
    "released": Recipe("released"),
    # As the paper describes it: 50 ms / 12.5 ms frames, margin + 0.392 x mean squared error.
    "paper": Recipe("paper", features="paper", loss="margin+mse"),
    # The same layers, trained as one would today; how it was found is told in the README.
    "modern": Recipe(
        "modern", features="pitch", normalisation="global", epochs=70, batch_size=16, **_MODERN
    ),
    # For trials: the released recipe, a few epochs of it.
    "quick": Recipe("quick", epochs=5),
}


def recipe(name, **changes):
    """Look a recipe up and change some of its fields.

    Parameters
    ----------
    name : str
        One of ``RECIPES``.
    **changes
        Fields and their new values.

    Returns
    -------
    Recipe
        Named ``name``; the changed fields are part of every run's specification.

    Raises
    ------
    StudyError
        For an unknown name, field or value.

    Examples
    --------
    >>> recipe("released", epochs=50).epochs
    50
    """
    return named(RECIPES, name, changes)


def named(table, name, changes):
    """Entry ``name`` of a table of recipes with some fields changed."""
    if name not in table:
        raise StudyError(f"recipe {name!r}: expected one of {', '.join(table)}")
    fields = {field.name for field in dataclasses.fields(table[name])}
    if unknown := sorted(set(changes) - fields):
        raise StudyError(f"recipe {name!r} has no field {unknown[0]!r}; it has {sorted(fields)}")
    return dataclasses.replace(table[name], **changes)


@dataclass(frozen=True)
class TransferRecipe(Recipe):
    """How a network is trained on a source corpus and adapted to a target corpus.

    Parameters
    ----------
    gamma : float, optional
        Weight of the source in the margin disparity of CAAM; without it the published one of the
        pair (1.5, 1.6 or 1.3), see :func:`ctl_helpers.methods.transfers.transfer`.
    strength : float
        Of the adaptation: multiplies the discrepancy between the corpora, or, in the adversarial
        methods, the gradient that reaches the encoder.
    reversal_steps : float
        How slowly gradient reversal sets in: its weight after i steps is
        ``strength * (2 / (1 + exp(-i / reversal_steps)) - 1)``.
    **fields
        All others as in :class:`Recipe`. The batch size counts the utterances of one corpus; a
        batch holds as many of the other.

    References
    ----------
    Wen, Ye et al., "CTL-MTNet", IJCAI 2022, section 3.2 and appendix.
    """

    epochs: int = 120
    batch_size: int = 512
    attention: str | None = "plain"
    dropout: tuple[float, float, float] = (0.25, 0.25, 0.25)
    head_dropout: float = 0.0
    loss: str = "cross-entropy"
    smoothing: float = 0.0
    beta_2: float = 0.935
    gamma: float | None = None
    strength: float = 1.0
    reversal_steps: float = 1000.0

    def __post_init__(self):
        """Check what a person can mistype."""
        super().__post_init__()
        _check("gamma", self.gamma, self.gamma is None or self.gamma >= 0, "None, or 0 or more")
        _check("strength", self.strength, self.strength >= 0, "0 or more")
        _check("reversal_steps", self.reversal_steps, self.reversal_steps > 0, "more than 0")


TRANSFER_RECIPES = {
    "released": TransferRecipe("released"),
    # As the paper describes it: 50 ms / 12.5 ms frames.
    "paper": TransferRecipe("paper", features="paper"),
    # The modern recipe of CPAC, with what differs between corpora besides emotion taken out first:
    # silence at the ends, level, and fine cepstra, which tell voices and languages apart; more
    # voices by resampling, and each speaker standardised over the frames that hold speech.
    "modern": TransferRecipe(
        "modern",
        features="moments",
        normalisation="speaker",
        resampled=(0.84, 0.92, 1.09, 1.19),
        epochs=20,
        batch_size=32,
        dropout=(0.5, 0.25, 0.25),
        head_dropout=0.2,
        smoothing=0.1,
        reversal_steps=500.0,
        **_MODERN,
    ),
    # For trials: few epochs of small batches.
    "quick": TransferRecipe("quick", epochs=5, batch_size=64),
}


def transfer_recipe(name, **changes):
    """Look a recipe of ``TRANSFER_RECIPES`` up and change some of its fields, as `recipe` does.

    Examples
    --------
    >>> transfer_recipe("released", gamma=1.6).gamma
    1.6
    """
    return named(TRANSFER_RECIPES, name, changes)
