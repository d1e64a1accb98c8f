"""A trained network as one file: it holds all that is needed to use it on new recordings."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctl_helpers.errors import StudyError

if TYPE_CHECKING:
    import keras

MODEL = Path(__file__).with_name("emodb.keras")
"""The network that comes with the package: CPAC ``modern``, trained on all of EmoDB."""


def save_network(model: "keras.Model", card: Mapping[str, Any], path: str | Path) -> None:
    """Save a network and its card as one ``.keras`` file.

    Parameters
    ----------
    model : keras.Model
        From features to probabilities.
    card : dict
        JSON: classes, feature settings, normalisation and its statistics, and what a reader should
        know of the model.
    path : path
        Of the file.
    """
    from ctl_helpers.networks import backend
    from ctl_helpers.networks.card import Card

    outputs = Card(dict(card), name="card")(model.output)
    backend.keras.Model(model.input, outputs, name=model.name).save(path)


def load_network(path: str | Path) -> tuple["keras.Model", dict[str, Any]]:
    """Load a network that `save_network` saved, in safe mode; return it and its card.

    Raises
    ------
    StudyError
        When the file is not there, damaged, or not of this package.
    """
    from ctl_helpers.networks import backend, capsules, card, timnet  # noqa: F401  registers layers

    path = Path(path)
    if not path.is_file():
        raise StudyError(f"model {path}: expected a .keras file, found none")
    try:
        model = backend.keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file can fail anywhere inside Keras
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StudyError(f"model {path}: not a network that can be loaded ({reason})") from error
    try:
        return model, dict(model.get_layer("card").card)
    except (ValueError, AttributeError) as error:
        raise StudyError(
            f"model {path}: expected a network saved by this package, with its card; found none"
        ) from error
