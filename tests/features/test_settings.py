import numpy as np
import pandas as pd
import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.features import PRESETS, Features, FeatureSettings


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"hop_length": 0}, "hop_length: expected a whole number from 1, got 0"),
        ({"samples": 1.5}, "samples: expected a whole number"),
        ({"moments": 0}, "moments: expected a whole number from 1, got 0"),
        ({"win_length": 4096}, "win_length: expected at most 2048, got 4096"),
        ({"n_mfcc": 200}, "n_mfcc: expected at most 128"),
        ({"factor": 0}, "factor: expected a number from"),
        ({"trim": 0}, "trim: expected more than 0 dB"),
        ({"trim": -3.0}, "trim: expected more than 0 dB"),
    ],
)
def test_numbers_that_make_no_sense(wrong, expected):
    with pytest.raises(StudyError, match=expected) as caught:
        FeatureSettings(**wrong)
    assert "\n" not in str(caught.value)


def test_presets_give_39_coefficients():
    assert {settings.coefficients for settings in PRESETS.values()} == {39}


@pytest.mark.parametrize("vectors", [False, True])
def test_select(vectors):
    values = np.arange(30.0).reshape((5, 6) if vectors else (5, 3, 2))
    speech = None if vectors else np.arange(10).reshape(5, 2)
    found = Features(values, pd.DataFrame({"path": list("abcde")}), "key", speech)
    part = found.select([4, 1])
    assert part.manifest["path"].tolist() == ["e", "b"] and part.manifest.index.tolist() == [0, 1]
    np.testing.assert_array_equal(part.values, values[[4, 1]])
    if not vectors:
        np.testing.assert_array_equal(part.speech, speech[[4, 1]])
    assert part.key == found.select(np.array([4, 1])).key
    mask = np.array([True, False, True, True, False])
    assert found.select(mask).key == found.select([0, 2, 3]).key != part.key
    assert found.select(slice(None)) is found
