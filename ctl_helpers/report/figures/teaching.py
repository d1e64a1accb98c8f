"""Figures that explain: an MFCC step by step, a network, routing, margin disparity.

Each is drawn from arrays that are computed in the plainest way there is, so that a reader can
follow them in a few lines. Saved networks are read without Keras.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import scipy.fft
from matplotlib.figure import Figure
from scipy.special import softmax
from sklearn.preprocessing import StandardScaler

from ctl_helpers.errors import StudyError
from ctl_helpers.features import PRESETS, FeatureSettings
from ctl_helpers.features.mfcc import mfcc
from ctl_helpers.report.figures.speech import draw_image
from ctl_helpers.report.figures.style import BLUE, GREY, ORANGE, panels, styled

_ENVELOPE = 13  # coefficients whose smooth curve is drawn over the mel bands


class Steps(NamedTuple):
    """The MFCC of one utterance, with every step on the way.

    Parameters
    ----------
    pieces : ndarray of shape (frames, n_fft)
        The waveform, cut into overlapping pieces.
    window : ndarray of shape (n_fft,)
        What each piece is multiplied by.
    power : ndarray of shape (frames, bins)
        Power spectra.
    mel : ndarray of shape (bands, bins)
        The mel filters.
    decibels : ndarray of shape (frames, bands)
        Power in each mel band, in dB.
    coefficients : ndarray of shape (frames, n_mfcc)
        The MFCC.
    """

    pieces: np.ndarray
    window: np.ndarray
    power: np.ndarray
    mel: np.ndarray
    decibels: np.ndarray
    coefficients: np.ndarray


def mfcc_steps(signal: np.ndarray, settings: FeatureSettings) -> Steps:
    """Compute MFCC step by step, as librosa does.

    Parameters
    ----------
    signal : ndarray of shape (samples,)
        At ``settings.sampling_rate``.
    settings : FeatureSettings
        Of plain MFCC.

    Returns
    -------
    Steps

    Examples
    --------
    >>> signal = librosa.tone(440, sr=22_050, length=22_050)
    >>> theirs = librosa.feature.mfcc(y=signal, sr=22_050, n_mfcc=39).T
    >>> np.allclose(mfcc_steps(signal, PRESETS["released"]).coefficients, theirs, atol=1e-3)
    True
    """
    window = librosa.filters.get_window(settings.window, settings.win_length)
    window = librosa.util.pad_center(window, size=settings.n_fft)
    padded = np.pad(np.asarray(signal, float), settings.n_fft // 2)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, settings.n_fft)
    pieces = pieces[:: settings.hop_length]
    power = np.abs(np.fft.rfft(pieces * window)) ** 2
    mel = librosa.filters.mel(sr=settings.sampling_rate, n_fft=settings.n_fft)
    decibels = librosa.power_to_db(power @ mel.T)
    coefficients = scipy.fft.dct(decibels, norm="ortho")[:, : settings.n_mfcc]
    return Steps(pieces, window, power, mel, decibels, coefficients)


@styled
def mfcc_step_by_step(
    signal: np.ndarray, settings: FeatureSettings, frame: int | None = None
) -> Figure:
    """Draw how one frame of a waveform becomes a column of MFCC, in six panels.

    Parameters
    ----------
    signal, settings
        As for `mfcc_steps`.
    frame
        The frame to look at; the loudest by default.
    """
    steps, rate, length = mfcc_steps(signal, settings), settings.sampling_rate, settings.n_fft
    t = steps.power.sum(axis=1).argmax() if frame is None else frame
    figure, ((wave, piece, spectrum), (bands, column, image)) = panels(2, 3, 3.5, 2.7)
    centre, half = t * settings.hop_length / rate, settings.win_length / rate / 2
    wave.plot(np.arange(len(signal)) / rate, signal, lw=0.4, color=BLUE)
    wave.axvspan(centre - half, centre + half, color=ORANGE, alpha=0.45, lw=0)
    wave.set(title="1  take a frame", xlabel="time (s)", ylabel="amplitude")
    frame, times = steps.pieces[t], 1000 * (np.arange(length) - length / 2) / rate
    piece.plot(times, frame, lw=0.5, color=GREY, label="frame")
    window = steps.window * np.abs(frame).max()
    piece.plot(times, window, color="black", lw=1, ls="--", label="window")
    piece.plot(times, frame * steps.window, lw=0.7, color=ORANGE, label="product")
    piece.set(title="2  fade its ends: a window", xlabel="time in the frame (ms)")
    piece.legend(loc="lower right", ncols=3, fontsize=7.5, columnspacing=0.8, handlelength=1.2)
    kilohertz = np.arange(steps.power.shape[1]) * rate / length / 1000
    spectrum.plot(kilohertz, librosa.power_to_db(steps.power[t]), lw=0.7, color=ORANGE)
    spectrum.set(title="3  power of each frequency", xlabel="frequency (kHz)", ylabel="dB")
    filters = spectrum.twinx()
    filters.plot(kilohertz, steps.mel[::8].T / steps.mel.max(), lw=0.7, color=BLUE, alpha=0.6)
    filters.set(ylim=(0, 4), yticks=[], xlim=(0, 5))
    values = steps.coefficients[t]
    smooth = scipy.fft.idct(values[:_ENVELOPE], n=len(steps.mel), norm="ortho")
    bands.plot(steps.decibels[t], lw=1, color=ORANGE, label=f"{len(steps.mel)} mel bands")
    bands.plot(smooth, color="black", lw=1.3, label=f"what {_ENVELOPE} coefficients keep")
    bands.set(title="4  sum over mel filters, logarithm", xlabel="mel band", ylabel="dB")
    bands.legend(loc="lower left", fontsize=7.5)
    column.bar(np.arange(1, len(values)), values[1:], color=ORANGE)
    column.set(title="5  cosine transform: MFCC", xlabel=f"coefficient (0 is {values[0]:.0f})")
    draw_image(image, steps.coefficients[:, 1:].T, len(signal) / rate)
    image.axvline(centre, color="black", lw=1)
    image.set(title="6  frame by frame: an image", xlabel="time (s)", ylabel="coefficient")
    return figure


@styled
def pitch_and_moments(signal: np.ndarray) -> Figure:
    """Draw one utterance, of samples at 22 050 Hz, as its pitch, as plain MFCC and as moments."""
    pitch, released, moments = (
        mfcc(signal, replace(PRESETS[name], samples=None, trim=None))[0].T
        for name in ("pitch", "released", "moments")
    )
    figure, ((melody, *images),) = panels(1, 3, 3.4, 2.8)
    seconds = len(signal) / PRESETS["pitch"].sampling_rate
    times, hertz = np.linspace(0, seconds, pitch.shape[1]), 2 ** pitch[1]
    voiced = hertz[pitch[0] > 0.5] if (pitch[0] > 0.5).any() else hertz
    dots = melody.scatter(times, hertz, c=pitch[0], cmap="Blues", vmin=0, vmax=1, s=14)
    figure.colorbar(dots, ax=melody, label="how voiced", pad=0.02)
    limits = (0.8 * voiced.min(), 1.2 * voiced.max())
    melody.set(title="pitch", xlabel="time (s)", ylabel="Hz", ylim=limits)
    melody.grid()
    blocks = [block / np.abs(block).max() for block in np.split(moments, 3)]
    shown = {"released": released[1:], "moments": np.concatenate(blocks)}
    for ax, (name, image) in zip(images, shown.items(), strict=True):
        draw_image(ax, image, seconds)
        ax.set(title=f"features: {name}", xlabel="time (s)", ylabel="row of the image")
    return figure


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
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
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


@styled
def network(layers: Sequence[SavedLayer], title: str = "") -> Figure:
    """Draw a network: a bar per layer, as wide as its output is large, its parameters beside it.

    Parameters
    ----------
    layers
        From `read_network`.
    title
        Of the figure.
    """
    layers = [layer for layer in layers if layer.kind not in ("Card", "Dropout")]
    figure, ((ax,),) = panels(1, 1, 8.6, 0.8 + 0.3 * len(layers))
    places: dict[str, int] = {}
    write = {"ha": "right", "va": "center", "fontsize": 9}
    ax.text(1.45, -0.9, "output", **write)
    total = sum(layer.parameters for layer in layers)
    ax.text(2.15, -0.9, f"parameters: {total:,}".replace(",", " "), **write)
    for y, layer in enumerate(layers):
        width = 0.35 + 0.3 * np.log10(np.prod(layer.shape))
        look = {"color": BLUE, "alpha": 0.3} if layer.parameters else {"color": GREY, "alpha": 0.15}
        ax.barh(y, width, 0.65, -width / 2, **look)
        ax.text(0, y, layer.name.replace("_", " "), **write | {"ha": "center"})
        ax.text(1.45, y, " × ".join(map(str, layer.shape)), **write)
        numbers = f"{layer.parameters:,}".replace(",", " ") if layer.parameters else "–"
        ax.text(2.15, y, numbers, **write)
        for before in (places.get(name, y - 1) for name in layer.inputs):
            if before < y - 1:  # it does not come from the layer above
                arrow = {"arrowstyle": "->", "color": ORANGE, "connectionstyle": "arc3,rad=0.35"}
                ax.annotate("", (-width / 2, y), (-0.9, before), arrowprops=arrow)
        places[layer.name] = y
    ax.set(xlim=(-1.5, 2.2), ylim=(len(layers) - 0.4, -1.3), title=title)
    ax.axis("off")
    return figure


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
        inputs = [values[name] for name in layer.inputs] or [np.asarray(features, float)]
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


def _convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    patches = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[:2], (0, 1))
    return np.tensordot(patches, kernel, ([3, 4, 2], [0, 1, 2]))


def _block(layer: SavedLayer, image: np.ndarray) -> np.ndarray:
    kernel, bias, gamma, beta, mean, variance = layer.weights
    x = (_convolve(image, kernel) + bias - mean) / np.sqrt(variance + layer.config["epsilon"])
    x = gamma * x + beta
    x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
    height, width, channels = layer.shape
    pairs = x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, channels)
    return pairs.mean(axis=(1, 3))


def _primary(layer: SavedLayer, image: np.ndarray) -> np.ndarray:
    kernel, bias = layer.weights
    return (_convolve(image, kernel) + bias).reshape(layer.shape)


def _attend(layer: SavedLayer, query: np.ndarray, *_) -> np.ndarray:
    scale = layer.weights[0] if layer.weights else 1.0
    return softmax(scale * query @ query.T, axis=1) @ query


_REPLAYED: dict[str, Callable] = {
    **dict.fromkeys(("InputLayer", "Dropout", "Card"), lambda layer, x: x),
    "Reshape": lambda layer, x: x.reshape(layer.shape),
    "ConvolutionBlock": _block,
    "PrimaryCapsules": _primary,
    "Squash": lambda layer, x: _squash(x),
    "Attention": _attend,
    "Multiply": lambda layer, x, y: x * y,
    "GlobalAveragePooling1D": lambda layer, x: x.mean(axis=0),
    "Dense": lambda layer, x: softmax(x @ layer.weights[0] + layer.weights[1]),
}


@styled
def routing(coupling: np.ndarray, features: np.ndarray) -> Figure:
    """Draw what routing does to one utterance: its features, and who gives whom how much.

    Parameters
    ----------
    coupling
        From `replay`, shape (routings, capsules in, capsules out).
    features
        Of the utterance, shape (frames, coefficients).
    """
    rounds, count, outputs = coupling.shape
    figure, axes = panels(rounds + 1, 1, 9.0, 1.35, sharex=True)
    (top,), *below = axes
    draw_image(top, StandardScaler().fit_transform(features).T, count)
    top.set(title="features, from beginning to end", ylabel="row")
    brightest = max(2 / outputs, coupling.max())
    box = {"extent": (0, count, outputs + 0.5, 0.5), "vmin": 0, "vmax": brightest}
    for number, ((ax,), shares) in enumerate(zip(below, coupling, strict=True), 1):
        drawn = ax.imshow(shares.T, cmap="viridis", interpolation="nearest", **box)
        ax.set(yticks=range(1, outputs + 1), ylabel="to capsule")
        largest = shares.max(axis=1).mean()
        ax.set_title(f"round {number}: the largest share is {largest:.2f} on average")
    ax.set_xlabel("primary capsules in order of time")
    figure.colorbar(drawn, ax=[ax for (ax,) in below], label="share", pad=0.01, aspect=30)
    return figure


def clouds(distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make two toy corpora in the plane: one with two emotions, and the same, moved and turned.

    Parameters
    ----------
    distance : float
        How far the target lies from the source: 0 for on top of it.
    seed : int
        Of the points.

    Returns
    -------
    source, target : ndarray of shape (120, 2)
    labels : ndarray of shape (120,)
        -1 or 1; a method knows only those of the source.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat([-1, 1], 60)
    source = rng.normal(size=(120, 2)) * (0.4, 0.7) + labels[:, None] * (1.0, 0.0)
    turn = 0.6 * distance
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return source, source @ rotation.T + distance * np.array([2.2, 2.6]), labels


def margin_disparity(
    source: np.ndarray, target: np.ndarray, first: np.ndarray, margin: float = 1.0
) -> tuple[np.ndarray, float]:
    """Find the line that agrees with a first one on the source and least on the target.

    Parameters
    ----------
    source, target : ndarray of shape (points, 2)
        Two clouds.
    first : ndarray of shape (3,)
        A line f: f(x, y) = a x + b y + c, whose sign is the class.
    margin : float
        Distance from the second line at which a point counts as clearly on one side.

    Returns
    -------
    second : ndarray of shape (3,)
        The line f' of the greatest disparity among lines of all directions and places.
    disparity : float
        By how much more of the target than of the source f' leaves the class that f gives; a point
        within the margin counts in part. 0 for clouds that lie on each other, at most 1.

    References
    ----------
    Zhang et al., "Bridging theory and algorithm for domain adaptation", ICML 2019, section 3.

    Examples
    --------
    >>> source, target, _ = clouds(0.0)
    >>> margin_disparity(source, target, np.array([1.0, 0.0, 0.0]))[1]
    0.0
    """
    angles, offsets = np.meshgrid(np.linspace(0, 2 * np.pi, 72, False), np.linspace(-4, 4, 81))
    lines = np.stack([np.cos(angles), np.sin(angles), offsets], -1).reshape(-1, 3)

    def leaves(points: np.ndarray) -> np.ndarray:
        said = np.sign(points @ first[:2] + first[2])[:, None]
        return np.clip(1 - said * (points @ lines[:, :2].T + lines[:, 2]) / margin, 0, 1).mean(0)

    disparities = leaves(target) - leaves(source)
    best = disparities.argmax()
    if disparities[best] <= 0:
        return first, 0.0
    return lines[best], float(disparities[best])


@styled
def margin_disparity_on_clouds(distances: Sequence[float] = (1.0, 0.5, 0.0)) -> Figure:
    """Draw what margin disparity measures, on two clouds that come closer."""
    figure, ((*planes, curve),) = panels(1, len(distances) + 1, 2.7, 2.9)
    first = np.array([1.0, 0.0, 0.0])
    for ax, distance in zip(planes, distances, strict=True):
        source, target, labels = clouds(distance)
        second, disparity = margin_disparity(source, target, first)
        said = [np.sign(target @ line[:2] + line[2]) for line in (first, second)]
        colours = np.where(labels == 1, ORANGE, BLUE)
        ax.scatter(*source.T, s=10, c=colours, alpha=0.35, lw=0)
        ax.scatter(*target.T, s=12, color=GREY, marker="x", lw=0.9)
        circles = {"facecolors": "none", "edgecolors": "black", "lw": 0.8}
        ax.scatter(*target[said[0] != said[1]].T, s=42, **circles)
        for (a, b, c), style in ((first, "-"), (second, "--")):
            ax.axline((-c * a, -c * b), (-c * a - b, -c * b + a), color="black", lw=1.4, ls=style)
        ax.set(xlim=(-2.5, 5), ylim=(-2.5, 5), xticks=[], yticks=[], aspect="equal")
        ax.set_title(f"disparity {disparity:.2f}")
    steps = np.linspace(0, 1, 11)
    found = [margin_disparity(*clouds(step)[:2], first)[1] for step in steps]
    curve.plot(steps, found, color="black")
    curve.plot(distances, np.interp(distances, steps, found), "o", color="black")
    curve.set(xlabel="distance of the target", ylim=(0, 1.02), title="disparity")
    curve.grid()
    return figure
