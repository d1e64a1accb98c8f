"""Networks and how they are trained.

A network is a function ``(frames, coefficients, classes, **settings)`` that returns a Keras model
from (batch, frames, coefficients) to probabilities. To add one: a file, and a line in `NETWORKS`.
"""

import hashlib
from typing import TYPE_CHECKING

from ctl_helpers.errors import StudyError
from ctl_helpers.plugins import is_reference, load

if TYPE_CHECKING:
    import keras

    from ctl_helpers.networks.recipes import Recipe

NETWORKS = {
    "cpac": "ctl_helpers.networks.cpac:cpac",
    "caam": "ctl_helpers.networks.adaptation:predictor",
    "timnet": "ctl_helpers.networks.timnet:timnet",
    "perceptron": "ctl_helpers.networks.perceptron:perceptron",
}

_ADAPTATION = "ctl_helpers.networks.adaptation"
ADAPTATIONS = {  # where the method's layer is, and what it is made with
    "source-only": (None, {}),  # the same network, which never sees the target
    "caam-released": (f"{_ADAPTATION}.mdd:MarginDisparity", {}),
    "caam-mdd": (f"{_ADAPTATION}.mdd:MarginDisparity", {"hard": True}),
    "dann": (f"{_ADAPTATION}.dann:DomainAdversarial", {}),
    "cdan": (f"{_ADAPTATION}.cdan:ConditionalAdversarial", {}),
    "cdan-e": (f"{_ADAPTATION}.cdan:ConditionalAdversarial", {"entropy": True}),
    "coral": (f"{_ADAPTATION}.coral:Coral", {}),
    "mmd": (f"{_ADAPTATION}.mmd:MeanDiscrepancy", {}),
    "jan": (f"{_ADAPTATION}.mmd:MeanDiscrepancy", {"joint": True}),
    "information": (f"{_ADAPTATION}.information:Information", {}),
}


def build(recipe: "Recipe", shape: tuple[int, ...], classes: int) -> "keras.Model":
    """Build the network of a recipe.

    Parameters
    ----------
    recipe : Recipe
        Its network, a name of `NETWORKS` or ``file.py:function``, and the network's settings.
    shape : (int, int)
        Frames and coefficients of an utterance's features.
    classes : int
        Number of classes.

    Raises
    ------
    StudyError
        If the features are of another kind, or a user's function returns anything but a model with
        that many outputs, or one with weights that an earlier run of this process has trained.
    """
    if len(shape) != 2:
        raise StudyError(
            f"network {recipe.network}: expected features of frames x coefficients, got "
            f"{recipe.features} of shape {shape}"
        )
    make = load(NETWORKS.get(recipe.network, recipe.network), anew=True)
    model = make(*shape, classes, **recipe.settings)
    found = getattr(model, "output_shape", type(model).__name__)
    if found != (None, classes):
        raise StudyError(
            f"network {recipe.network}: expected a Keras model whose output has the shape "
            f"(None, {classes}), a probability per class; got {found}"
        )
    if is_reference(recipe.network):
        _check_untrained(model, recipe.network)
    return model


def _check_untrained(model: "keras.Model", network: str) -> None:
    """Refuse weights that have changed since a network of this process first had them."""
    from ctl_helpers.networks.backend import keras

    for variable in model.variables:
        values = keras.ops.convert_to_numpy(variable)
        digest = hashlib.blake2b(values.tobytes(), digest_size=6).digest()
        first = variable.__dict__.setdefault("ctl_first_values", digest)
        if first != digest:
            raise StudyError(
                f"network {network}: expected new weights at every call, got {variable.path} as an "
                "earlier run has trained it; make its layer inside the function"
            )
