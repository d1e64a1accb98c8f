from functools import partial

import numpy as np
import pandas as pd
import pytest
from conftest import write_wav
from toy_recordings import with_digests

from ctl_helpers.corpora import load_manifest
from ctl_helpers.errors import StudyError
from ctl_helpers.features import extract, feature_key
from ctl_helpers.features.functionals import frame_functionals
from ctl_helpers.parallel import parallel_map


def test_frame_functionals_by_hand():
    # The median of the loudness is 3: rows 1, 2 and 3 are kept.
    frames = np.array([[1, 0], [5, 2], [3, 7], [6, 4], [2, 1]], np.float32)
    expected = [14 / 3, 13 / 3]
    expected += [np.sqrt(14 / 9), np.sqrt(38 / 9)]
    expected += [2.5, 4.0]  # steps -2, 3 and 5, -3
    expected += [3.4, 2.4, 5.8, 6.4]  # percentiles, between neighbours in proportion
    np.testing.assert_allclose(frame_functionals(frames), expected, rtol=1e-6)


def test_frame_functionals_of_39_coefficients():
    frames = np.random.default_rng(0).normal(size=(30, 39)).astype(np.float32)
    loud = np.array([frame for frame in frames if frame[0] >= np.median(frames[:, 0])], float)
    assert len(loud) == 15
    steps = loud[1:] - loud[:-1]
    low, high = np.quantile(loud, 0.1, axis=0), np.quantile(loud, 0.9, axis=0)
    expected = np.concatenate([loud.mean(0), loud.std(0), steps.std(0), low, high])
    np.testing.assert_allclose(frame_functionals(frames), expected, rtol=1e-4, atol=1e-5)
    # Of a single frame there is no deviation.
    np.testing.assert_array_equal(frame_functionals(frames[:1])[39:117], 0)


def opensmiles_own(name, paths):
    import opensmile

    sets = {"egemaps": "eGeMAPSv02", "compare": "ComParE_2016"}
    smile = opensmile.Smile(sets[name], "func", sampling_rate=16_000, resample=True)
    return smile.process_files(paths).to_numpy()


@pytest.mark.parametrize(("name", "count"), [("egemaps", 88), ("compare", 6373)])
def test_functionals_are_opensmiles(tmp_path, miniature, name, count):
    pytest.importorskip("opensmile", reason="needs the extra: baselines")
    few = load_manifest(miniature, "emodb").iloc[[3, 0, 7]].reset_index(drop=True)
    # Too short for openSMILE to define any.
    short = str(write_wav(tmp_path / "short.wav", np.full(100, 0.1), 16_000))
    both = with_digests(pd.concat([few, few[:1].assign(path=short)], ignore_index=True))
    found = extract(both, name, jobs=1, cache=tmp_path)
    assert found.values.shape == (4, count) and np.isfinite(found.values).all()
    assert found.speech is None and found.key == feature_key(both, name)
    (expected,) = parallel_map(partial(opensmiles_own, name), [few["path"]], jobs=1, apart=True)
    close = np.isclose(found.values[:3], expected, rtol=0.05, atol=1e-3)
    assert close.mean() > 0.9  # the rest is what another resampler makes of the highest bands


def test_a_missing_opensmile_is_named():
    try:
        import opensmile  # noqa: F401
    except ImportError:
        manifest = pd.DataFrame({"path": ["/x.wav"], "corpus": ["toy"], "digest": ["x"]})
        with pytest.raises(StudyError, match=r"pip install 'ctl-helpers\[baselines\]'"):
            feature_key(manifest, "egemaps")
