"""A trained network as one file: it holds all that is needed to use it on new recordings."""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from ctl_helpers.errors import StudyError
from ctl_helpers.networks.saved import SavedLayer, is_cpac, read_network, replay
from ctl_helpers.plugins import hash_of_file, module_of, own_file

if TYPE_CHECKING:
    import keras

# The network that comes with the package: CPAC `modern`, trained on all of EmoDB.
MODEL = Path(__file__).with_name("emodb.keras")

_NEEDED = ("classes", "features", "normalisation", "padding", "mean", "scale")


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

    outputs = Card(dict(card), name="ctl_helpers_card")(model.output)
    backend.keras.Model(model.input, outputs, name=model.name).save(path)


def load_predictor(path: str | Path) -> tuple[Callable, dict[str, Any]]:
    """Load what predicts with a network that `save_network` saved, and the network's card.

    CPAC is computed in plain NumPy, so that no backend has to start; other networks by Keras.

    Parameters
    ----------
    path : path
        A ``.keras`` file, or the folder of a run.

    Returns
    -------
    predict : callable
        From normalised features, shape (utterances, frames, coefficients), to probabilities, shape
        (utterances, classes).
    card : dict

    Raises
    ------
    StudyError
        As `load_network`.
    """
    try:
        layers = read_network(_file_of(path))
    except StudyError:  # Keras says what is wrong with it
        layers = []
    if is_cpac(layers) and layers[-1].kind == "Card":
        card = layers[-1].config["card"]
        _check(card, path)
        return partial(_replayed, layers), card
    network, card = load_network(path)
    return network.predict_on_batch, card


def _replayed(layers: Sequence[SavedLayer], features: np.ndarray) -> np.ndarray:
    with threadpool_limits(1, "blas"):  # the products are small
        return np.stack([replay(layers, one)[layers[-1].name] for one in features])


def load_network(path: str | Path) -> tuple["keras.Model", dict[str, Any]]:
    """Load a network that `save_network` saved, in safe mode; return it and its card.

    Layers of a user's own come from the file that the card names, if that is as it was when the
    network was trained; it is executed.

    Raises
    ------
    StudyError
        When the file is not there, damaged, or not of this package, or the file of its layers is
        not there or has changed.
    """
    from ctl_helpers.networks import backend, capsules, card, timnet  # noqa: F401  registers layers

    file = _file_of(path)
    try:
        model = _keras_model(file)
    except StudyError:
        raise
    except Exception as error:  # a damaged file can fail anywhere inside Keras
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StudyError(f"model {file}: not a network that can be loaded ({reason})") from error
    facts = next((dict(one.card) for one in model.layers if isinstance(one, card.Card)), {})
    _check(facts, file)
    return model, facts


def _keras_model(file: Path) -> "keras.Model":
    from ctl_helpers.networks.backend import keras

    load = partial(keras.saving.load_model, file, compile=False, safe_mode=True)
    try:
        return load()
    except Exception:
        with zipfile.ZipFile(file) as archive:
            described = list(_dictionaries(json.loads(archive.read("config.json"))))
        if not (names := _foreign(described)):
            raise
        facts = next((one["card"] for one in described if "card" in one), {})
        return load(custom_objects=_own_objects(names, facts, file))


def _foreign(described: Sequence[dict]) -> set[str]:
    """Name classes and functions that are neither Keras's nor this package's."""
    found = set()
    for one in described:
        kind, module = one.get("class_name"), one.get("module") or "keras"
        if kind == "function":
            found.add(one["config"])
        elif kind and module.split(".")[0] not in ("builtins", "keras", "ctl_helpers"):
            found.add(kind)
    return found


def _own_objects(names: set[str], card: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Find classes and functions of a network in the file that made it, which is executed.

    A card may come from anybody: of what it names only a file that hashes to the same is executed.
    """
    reference = str(card.get("network"))
    place = reference.rpartition(":")[0]
    try:
        if not (place.endswith(".py") and own_file(place).is_file()):
            raise StudyError(f"expected a file {place}, found none")
        if hash_of_file(place) != card.get("source"):
            raise StudyError("it has changed")
        home = vars(module_of(reference))
        known = {name: home[name] for name in names if name in home}
        if missing := names - known.keys():
            raise StudyError(f"no {', '.join(sorted(missing))} at its top level")
        return known
    except StudyError as error:
        raise StudyError(
            f"model {file}: layers with code of somebody's own ({', '.join(sorted(names))}): "
            f"expected {reference} as it was when the network was trained ({error})"
        ) from error


def _dictionaries(value: Any) -> Iterator[dict]:
    """Go through all dictionaries within lists and dictionaries."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value:
        if isinstance(one, dict | list):
            yield from _dictionaries(one)


def _file_of(path: str | Path) -> Path:
    """Name the file of a network, which has to be one."""
    path = Path(path)
    if (path / "record.json").exists() and not (path / "model.keras").exists():
        raise StudyError(f"model {path}: a run without a network, such as one of an SVM")
    path = path / "model.keras" if path.is_dir() else path
    if not path.is_file() or path.suffix != ".keras":
        found = "another file" if path.is_file() else "none"
        raise StudyError(f"model {path}: expected a .keras file, found {found}")
    if not zipfile.is_zipfile(path):
        raise StudyError(f"model {path}: not a network that can be loaded (empty, cut or no zip)")
    return path


def _check(card: Mapping[str, Any], path: str | Path) -> None:
    """Raise a StudyError unless a card says all that is needed to predict."""
    if absent := [name for name in _NEEDED if name not in card]:
        raise StudyError(
            f"model {path}: expected a network saved by this package, with its card; found "
            f"{f'one without {absent[0]}' if card else 'none'}"
        )
