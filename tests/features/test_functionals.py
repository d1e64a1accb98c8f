from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_wav

from ctl_helpers.corpora import load_manifest
from ctl_helpers.features import functionals
from ctl_helpers.features.functionals import mfcc_statistics, opensmile_functionals
from ctl_helpers.features.mfcc import Features, FeatureSettings
from ctl_helpers.parallel import parallel_map


@pytest.fixture(scope="module")
def emodb(miniature):
    return load_manifest(miniature, "emodb")


def features_of(values, speech):
    manifest = pd.DataFrame({"emotion": ["sad"] * len(values)})
    settings = FeatureSettings(n_mfcc=values.shape[2])
    return Features(values, manifest, settings, "key", np.array(speech))


def test_mfcc_statistics_by_hand():
    frames = np.array([[9, 9], [1, 0], [5, 2], [3, 7], [6, 4], [2, 1], [9, 9]], np.float32)
    # Speech is rows 1 to 5, the median of whose loudness is 3: rows 2, 3 and 4 are kept.
    got = mfcc_statistics(features_of(frames[None], [[1, 6]]))
    expected = [14 / 3, 13 / 3]
    expected += [np.sqrt(14 / 9), np.sqrt(38 / 9)]
    expected += [2.5, 4.0]  # steps -2, 3 and 5, -3
    expected += [3.4, 2.4, 5.8, 6.4]  # percentiles, between neighbours in proportion
    np.testing.assert_allclose(got, [expected], rtol=1e-6)


def test_mfcc_statistics_of_39_coefficients():
    values = np.random.default_rng(0).normal(size=(3, 50, 39)).astype(np.float32)
    got = mfcc_statistics(features_of(values, [[0, 50], [10, 40], [7, 8]]))
    assert got.shape == (3, 195)
    assert np.isfinite(got).all()
    loud = np.array(
        [frame for frame in values[1, 10:40] if frame[0] >= np.median(values[1, 10:40, 0])]
    )
    assert len(loud) == 15
    steps = loud[1:] - loud[:-1]
    low, high = np.quantile(loud, 0.1, axis=0), np.quantile(loud, 0.9, axis=0)
    expected = np.concatenate([loud.mean(0), loud.std(0), steps.std(0), low, high])
    np.testing.assert_allclose(got[1], expected, rtol=1e-4, atol=1e-5)
    # Of a single frame there is no deviation.
    np.testing.assert_array_equal(got[2, 39:117], 0)


def opensmiles_own(name, paths):
    import opensmile

    sets = {"egemaps": "eGeMAPSv02", "compare": "ComParE_2016"}
    smile = opensmile.Smile(sets[name], "func", sampling_rate=16_000, resample=True)
    return smile.process_files(paths).to_numpy()


@pytest.mark.parametrize(("name", "count"), [("egemaps", 88), ("compare", 6373)])
def test_opensmile_functionals_are_opensmiles(tmp_path, emodb, name, count):
    pytest.importorskip("opensmile", reason="needs the extra: baselines")
    few = emodb.iloc[[3, 0, 7]].reset_index(drop=True)
    got = opensmile_functionals(few, name, jobs=1, cache=tmp_path)
    assert got.values.shape == (3, count)
    (expected,) = parallel_map(partial(opensmiles_own, name), [few["path"]], jobs=1, apart=True)
    close = np.isclose(got.values, expected, rtol=0.05, atol=1e-3)
    assert close.mean() > 0.9  # the rest is what another resampler makes of the highest bands


def test_opensmile_functionals_are_cached_by_content(tmp_path, emodb, monkeypatch):
    pytest.importorskip("opensmile", reason="needs the extra: baselines")
    first = opensmile_functionals(emodb.iloc[:4], "egemaps", jobs=1, cache=tmp_path / "cache")
    moved = emodb.iloc[:4].copy()
    for row, path in enumerate(moved["path"]):
        copy = tmp_path / f"{row}.wav"
        copy.write_bytes(Path(path).read_bytes())
        moved.iloc[row, moved.columns.get_loc("path")] = str(copy)
    monkeypatch.setattr(functionals, "_read_functionals", None)
    again = opensmile_functionals(moved, "egemaps", jobs=1, cache=tmp_path / "cache")
    assert again.key == first.key
    np.testing.assert_array_equal(again.values, first.values)


def test_a_recording_too_short_for_opensmile_gives_zeros(tmp_path):
    pytest.importorskip("opensmile", reason="needs the extra: baselines")
    path = write_wav(tmp_path / "short.wav", np.full(100, 0.1), 16000)
    manifest = pd.DataFrame({"path": [str(path)], "corpus": "toy", "emotion": "sad"})
    got = opensmile_functionals(manifest, jobs=1, cache=tmp_path / "cache")
    assert np.isfinite(got.values).all()
