"""Networks and how they are trained.

A network is a function ``(frames, coefficients, classes, **settings)`` that returns a Keras model
from (batch, frames, coefficients) to probabilities. To add one: a file, and a line in `NETWORKS`.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from ctl_helpers.errors import StudyError
from ctl_helpers.plugins import is_reference, load
from ctl_helpers.scores import not_probabilities

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
    model = _of_tensors(make(*shape, classes, **recipe.settings), shape)
    inputs = getattr(model, "inputs", None) or []
    found = model.output_shape if len(inputs) == 1 else type(model).__name__
    if found != (None, classes):
        raise StudyError(
            f"network {recipe.network}: expected a functional Keras model, or a Sequential, of one "
            f"input, whose output has the shape (None, {classes}), a probability per class; got "
            f"{found}"
        )
    if is_reference(recipe.network):
        _check_untrained(model, recipe.network)
    return model


def check_use(both: "keras.Model", features: np.ndarray, network: str) -> None:
    """Raise a StudyError unless a network gives probabilities and can be saved.

    A training whose result cannot be used would be in vain.

    Parameters
    ----------
    both : keras.Model
        The network, with its embeddings beside the probabilities.
    features : ndarray of shape (utterances, frames, coefficients)
        A few utterances.
    network : str
        Its name.
    """
    from ctl_helpers.networks.backend import keras

    probabilities = keras.ops.convert_to_numpy(both(features, training=False)[0])
    if wrong := not_probabilities(probabilities, (len(features), both.output_shape[0][1])):
        raise StudyError(f"network {network}: {wrong}")
    try:
        both.to_json()
    except Exception as error:  # whatever a layer of the user's own does
        reason = " ".join(str(error).split())[:200]
        raise StudyError(
            f"network {network}: expected layers that can be saved, by their get_config ({reason})"
        ) from error


def _of_tensors(model: "keras.Model", shape: tuple[int, ...]) -> "keras.Model":
    """Make a Sequential functional; of a list or dictionary of one tensor take the tensor."""
    from ctl_helpers.networks.backend import keras

    sequential = isinstance(model, keras.Sequential)
    if sequential and not model.built:
        model.build((None, *shape))
    sides = [getattr(model, side, None) or [] for side in ("inputs", "outputs")]
    if [len(side) for side in sides] != [1, 1]:
        return model
    ((start,), (end,)) = sides
    if not sequential and model.input is start and model.output is end:
        return model
    return keras.Model(start, end, name=model.name)


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
