"""The ways to turn a signal into features, by name: MFCC, functionals, a user's function."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from ctl_helpers.corpora import signal_length
from ctl_helpers.errors import StudyError
from ctl_helpers.features.settings import FEATURES, PRESETS, FeatureChoice, FeatureSettings
from ctl_helpers.parallel import parallel_map
from ctl_helpers.plugins import is_reference, load, source_hash
from ctl_helpers.versions import version_of

_FORMAT = 3  # part of every key: raise it when the same settings give other numbers
_RATE = 16_000  # Hz, for all but MFCC; one for all corpora, so that all have the same bands


@dataclass(frozen=True)
class Way:
    """One way to turn a signal into values.

    Parameters
    ----------
    identity : str
        All that the numbers depend on besides the signal; part of every key.
    sampling_rate : int
        Of the signals it takes, in Hz.
    compute : callable
        From a signal to values; with `settings` also the frames that hold speech.
    shape : tuple of int or None
        Of the values; ``None`` where only a result can show it.
    settings : FeatureSettings or None
        Those of MFCC, with `samples` filled in.
    apart : bool
        Whether it has to work in processes of its own.
    """

    identity: str
    sampling_rate: int
    compute: Callable
    shape: tuple[int, ...] | None
    settings: FeatureSettings | None = None
    apart: bool = False


def way_of(features: FeatureChoice, manifest: pd.DataFrame, samples: int | None = None) -> Way:
    """Look up how features are computed; the parameters are those of `extract`."""
    from ctl_helpers.features import functionals
    from ctl_helpers.features.mfcc import mfcc

    chosen = features if isinstance(features, FeatureSettings) else PRESETS.get(str(features))
    if chosen is not None:
        settings = _with_samples(chosen, manifest, samples)
        shape = (settings.frames, settings.coefficients)
        rate = round(settings.sampling_rate / settings.factor)
        identity = _identity("mfcc", asdict(settings))
        return Way(identity, rate, partial(mfcc, settings=settings), shape, settings)
    if features in functionals.OF_FRAMES:
        preset, function = functionals.OF_FRAMES[features]
        settings = _with_samples(PRESETS[preset], manifest, samples)
        compute = partial(functionals.of_frames, settings=settings, compute=function)
        shape = np.shape(function(np.zeros((1, settings.coefficients))))
        return Way(_identity(features, asdict(settings)), settings.sampling_rate, compute, shape)
    if features in functionals.OPENSMILE_SETS:
        if not (version := version_of("opensmile")):
            raise StudyError(
                f"features {features!r}: expected the package opensmile, found none; "
                "install the extra: pip install 'ctl-helpers[baselines]'"
            )
        compute = partial(functionals.opensmile_functionals, sampling_rate=_RATE, name=features)
        shape = functionals.OPENSMILE_SETS[features][1:]
        # openSMILE's library crashes beside those of Keras's backends.
        return Way(_identity(features, _RATE, version), _RATE, compute, shape, apart=True)
    features = str(features)
    if not is_reference(features):
        raise StudyError(
            f"features: expected one of {', '.join(FEATURES)}, a file .npz or .npy, or "
            f"file.py:function, got {features!r}"
        )
    identity = _identity("function", features.split(":")[-1], source_hash(features), _RATE)
    # In new processes: those of before may know another version of the file, or another folder.
    return Way(identity, _RATE, partial(_own, reference=features), None, apart=True)


def _identity(*parts) -> str:
    return json.dumps([_FORMAT, *parts])


def shape_of(way: Way) -> tuple[int, ...]:
    """Shape of what a function of the user's own returns, by a second of noise.

    The function may crash, and so works in a process of its own.
    """
    alone = partial(parallel_map, jobs=1, description="features", apart=True, guarded=True)
    (shape,) = alone(_shape_of, [way], dead=lambda _: None)
    if shape is None:
        raise _of_noise(way, "a process that dies")
    return shape


def _shape_of(way: Way) -> tuple[int, ...]:
    noise = np.random.default_rng(0).normal(0, 0.1, way.sampling_rate).astype(np.float32)
    try:
        if np.size(found := way.compute(noise)) == 0:
            raise ValueError("an empty one")
        return np.shape(found)
    except (Exception, SystemExit) as error:  # whatever the function does
        raise _of_noise(way, repr(error)) from error


def _of_noise(way: Way, got: str) -> StudyError:
    name = getattr(way.compute, "keywords", {}).get("reference")
    return StudyError(f"features {name}: expected an array for a second of noise, got {got}")


def _with_samples(settings, manifest, samples) -> FeatureSettings:
    samples = samples or settings.samples
    if samples is None:
        lengths = {name: signal_length(name) for name in manifest["corpus"].unique()}
        if len(set(lengths.values())) > 1:
            raise StudyError(
                "feature setting samples: expected a number, as the corpora differ in length, got "
                f"None for {', '.join(f'{name} ({n})' for name, n in lengths.items())}"
            )
        (samples,) = set(lengths.values())
    return replace(settings, samples=samples)


def _own(signal: np.ndarray, reference: str) -> np.ndarray:
    return load(reference)(signal, _RATE)
