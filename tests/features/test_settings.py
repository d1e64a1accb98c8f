import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.features import PRESETS, FeatureSettings


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
