"""The emotion of new recordings, by the network of a run."""

import importlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.corpora import read_audio, signal_length
from ctl_helpers.corpora.catalogue import CROSS_CORPUS_SAMPLES
from ctl_helpers.errors import StudyError
from ctl_helpers.features.mfcc import PRESETS, FeatureSettings, mfcc
from ctl_helpers.features.normalisation import Normalised, normalise


def predict_files(
    model: str | Path, files: Sequence[str | Path]
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Tell the emotion of recordings.

    Parameters
    ----------
    model : path
        A run folder, or the ``model.keras`` in it; ``spec.json`` lies beside it.
    files : list of path
        Recordings, wav or flac.

    Returns
    -------
    table : DataFrame
        A row per recording: file, emotion, and a column of probability per emotion.
    notes : list of str
        What to know of the numbers.
    problems : list of str
        A line for each recording that cannot be read.

    Raises
    ------
    StudyError
        If the run is damaged, or no recording can be read.
    """
    folder, spec = _read_run(Path(model))
    settings = _settings(spec)
    computed, read, problems = [], [], []
    for file in files:
        try:
            signal = read_audio(file, settings.sampling_rate)
        except StudyError as error:
            problems.append(str(error))
            continue
        computed.append(mfcc(signal, settings))
        read.append(str(file))
    if not read:
        raise StudyError(f"predict: no recording can be read; {problems[0]}")
    values, speech = map(np.array, zip(*computed, strict=True))
    features, notes = _normalised(values, speech, spec, folder)
    network = _load(folder)
    if network.input_shape[1:3] != features.values.shape[1:]:
        raise StudyError(
            f"{folder}: expected features of shape {network.input_shape[1:3]}, as the network was "
            f"trained on, got {features.values.shape[1:]}"
        )
    probabilities = np.asarray(network.predict(features[:][..., None], verbose=0))
    emotions = np.array(spec["emotions"])
    table = pd.DataFrame({"file": read, "emotion": emotions[probabilities.argmax(axis=1)]})
    return table.join(pd.DataFrame(probabilities, columns=emotions)), notes, problems


def _read_run(path: Path) -> tuple[Path, dict]:
    folder = path.parent if path.suffix == ".keras" else path
    for name in ("model.keras", "spec.json"):
        if not (folder / name).is_file():
            raise StudyError(
                f"model {path}: expected a run folder with {name}, such as reports/runs/"
                f"0123456789ab, got no {folder / name}"
            )
    try:
        spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        return folder, {name: spec[name] for name in ("recipe", "emotions", "task")} | spec
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"model {path}: its spec.json is damaged ({error!r})") from error


def _settings(spec: dict) -> FeatureSettings:
    across = spec["task"] == "transfer"
    samples = CROSS_CORPUS_SAMPLES if across else signal_length(spec.get("corpus", ""))
    return replace(PRESETS[spec["recipe"]["features"]], samples=samples)


def _normalised(
    values: np.ndarray, speech: np.ndarray, spec: dict, folder: Path
) -> tuple[Normalised, list[str]]:
    kind = spec["recipe"]["normalisation"]
    speech = speech if spec["recipe"].get("padding") == "zeroed" else None
    if kind == "global":
        try:
            with np.load(folder / "normalisation.npz", allow_pickle=False) as known:
                rows = np.zeros(len(values), int)
                return Normalised(values, kind, rows, known["mean"], known["scale"], speech), []
        except (OSError, KeyError, ValueError) as error:
            raise StudyError(f"model {folder}: expected its normalisation.npz ({error})") from error
    notes = []
    if kind in ("speaker", "corpus"):
        notes = [
            f"normalised over the {len(values)} recording(s) given, taken as one {kind}; "
            "the run did so over all of a " + kind
        ]
    one = pd.DataFrame({"corpus": ["given"] * len(values), "speaker": "given", "path": ""})
    return normalise(values, one, kind, speech=speech), notes


def _load(folder: Path):
    from ctl_helpers.networks import backend

    importlib.import_module("ctl_helpers.networks.cpac")  # its layers register themselves
    try:
        return backend.keras.saving.load_model(folder / "model.keras", compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StudyError(
            f"model {folder / 'model.keras'}: not a saved network ({str(error).splitlines()[0]})"
        ) from error
