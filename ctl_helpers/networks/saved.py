"""Saved networks without Keras: any is read, and CPAC is computed, in plain NumPy.

That saves the start and the memory of Keras and its backend.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from ctl_helpers.errors import StudyError


class SavedLayer(NamedTuple):
    """A layer of a saved network.

    Parameters
    ----------
    name, kind : str
        Its name, and the class of Keras or of this package.
    config : dict
        Its settings.
    inputs : tuple of str
        Names of the layers before it.
    shape : tuple of int
        Of its output, without the batch.
    weights : list of ndarray
        Those of layers inside it included.
    """

    name: str
    kind: str
    config: dict
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    weights: list[np.ndarray]

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(array.size for array in self.weights)


def read_network(path: str | Path) -> list[SavedLayer]:
    """Read layers, shapes and weights of a ``.keras`` file, without Keras.

    Parameters
    ----------
    path : path
        As :func:`ctl_helpers.runs.model.save_network` writes it.

    Returns
    -------
    list of SavedLayer
        In the order in which they are computed.

    Raises
    ------
    StudyError
        When the file is not a saved network of layers.
    """
    import h5py

    try:
        with zipfile.ZipFile(path) as archive:
            described = json.loads(archive.read("config.json"))["config"]["layers"]
            groups = h5py.File(io.BytesIO(archive.read("model.weights.h5")))["layers"].values()
        weights = {group["vars"].attrs["name"]: _weights(group) for group in groups}
        shapes = {tensor: shape for layer in described for tensor, shape in _inputs(layer).items()}
        layers = []
        for layer in described:
            name, inputs = layer["name"], _inputs(layer)
            shape = shapes.get(name) or next(iter(inputs.values()))  # the last one's is not written
            kind, config = layer["class_name"], layer["config"]
            layers.append(SavedLayer(name, kind, config, tuple(inputs), shape, weights[name]))
    except Exception as error:  # which, depends on what is in the file
        raise StudyError(f"network {path}: expected a saved network, got {error!r}") from None
    return layers


def _inputs(layer: dict) -> dict[str, tuple[int, ...]]:
    """Name the layers before one, each with the shape of what it gives."""
    tensor = r'"shape": (\[[^]]*\]).*?"keras_history": \["([^"]+)"'
    found = re.findall(tensor, json.dumps(layer["inbound_nodes"][:1]))
    return {name: tuple(json.loads(shape)[1:]) for shape, name in found}


def _weights(group) -> list[np.ndarray]:
    """Read the weights of a layer and of those inside it, without states of random generators."""
    found: list = []
    group.visititems(lambda _, item: found.append(item))
    return [item[()] for item in found if getattr(item, "dtype", None) == "f4"]


def is_cpac(layers: Sequence[SavedLayer]) -> bool:
    """Whether `replay` computes a network: its layers are CPAC's, up to the softmax."""
    kinds = {layer.kind for layer in layers}
    ends = [layer.config["activation"] for layer in layers if layer.kind == "Dense"]
    return "Capsules" in kinds and kinds <= {"Capsules", *_REPLAYED} and ends == ["softmax"]


def replay(layers: Sequence[SavedLayer], features: np.ndarray) -> dict[str, np.ndarray]:
    """Compute a saved CPAC for one utterance, in plain NumPy.

    Parameters
    ----------
    layers
        From `read_network`.
    features
        Of one utterance, normalised, shape (frames, coefficients).

    Returns
    -------
    dict
        Outputs by the name of the layer, and ``"coupling"`` of shape (routings, capsules in,
        capsules out): to which capsule each of the primary ones gave how much in every round.

    Raises
    ------
    StudyError
        When the network has other layers than CPAC.
    """
    values: dict[str, np.ndarray] = {}
    for layer in layers:
        inputs = [values[name] for name in layer.inputs] or [np.asarray(features, np.float32)]
        if layer.kind == "Capsules":
            outputs, values["coupling"] = route(inputs[0], layer.weights[0], layer.config)
        elif layer.kind in _REPLAYED:
            outputs = _REPLAYED[layer.kind](layer, *inputs)
        else:
            got = f"{layer.name} ({layer.kind})"
            raise StudyError(f"replay: expected the layers of CPAC, got {got}")
        values[layer.name] = outputs
    return values


def route(capsules: np.ndarray, kernel: np.ndarray, config: dict) -> tuple[np.ndarray, np.ndarray]:
    """Route capsules by agreement: Sabour et al., 2017, procedure 1, as CPAC was released.

    Parameters
    ----------
    capsules : ndarray of shape (capsules in, dimension)
        The primary capsules.
    kernel : ndarray of shape (dimension, capsules out * dimension out)
        The transformation that all of them share.
    config : dict
        ``count`` of capsules out, and ``routings``.

    Returns
    -------
    outputs : ndarray of shape (capsules out, dimension out)
    coupling : ndarray of shape (routings, capsules in, capsules out)
        Each row sums to 1.
    """
    votes = (capsules @ kernel).reshape(len(capsules), config["count"], -1)
    logits, coupling = np.zeros(votes.shape[:2]), []
    for _ in range(config["routings"]):
        coupling.append(softmax(logits, axis=1))
        outputs = np.einsum("nk,nkd->kd", coupling[-1], votes)
        agreed = outputs / np.linalg.norm(outputs, axis=1, keepdims=True)
        logits = np.einsum("nkd,kd->nk", votes, agreed)
    return _squash(outputs), np.array(coupling)


def _squash(vectors: np.ndarray) -> np.ndarray:
    square = (vectors**2).sum(axis=-1, keepdims=True)
    return vectors * square / (1 + square) / np.sqrt(square + 1e-7)


def _convolve(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    patches = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[:2], (0, 1))
    return np.tensordot(patches, kernel, ([3, 4, 2], [0, 1, 2])) + bias


def _block(layer: SavedLayer, image: np.ndarray) -> np.ndarray:
    kernel, bias, gamma, beta, mean, variance = layer.weights
    scale = gamma / np.sqrt(variance + layer.config["epsilon"])
    x = _convolve(image, kernel * scale, (bias - mean) * scale + beta)
    x = np.maximum(x, 0) + np.expm1(np.minimum(x, 0))
    height, width, channels = layer.shape
    pairs = x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, channels)
    return pairs.mean(axis=(1, 3))


def _attend(layer: SavedLayer, query: np.ndarray, *_) -> np.ndarray:
    scale = layer.weights[0] if layer.weights else 1.0
    return softmax(scale * query @ query.T, axis=1) @ query


_REPLAYED: dict[str, Callable] = {
    **dict.fromkeys(("InputLayer", "Dropout", "Card"), lambda layer, x: x),
    "Reshape": lambda layer, x: x.reshape(layer.shape),
    "ConvolutionBlock": _block,
    "PrimaryCapsules": lambda layer, x: _convolve(x, *layer.weights).reshape(layer.shape),
    "Squash": lambda layer, x: _squash(x),
    "Attention": _attend,
    "Multiply": lambda layer, x, y: x * y,
    "GlobalAveragePooling1D": lambda layer, x: x.mean(axis=0),
    "Dense": lambda layer, x: softmax(x @ layer.weights[0] + layer.weights[1]),
}
