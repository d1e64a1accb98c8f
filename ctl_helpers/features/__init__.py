"""Features: MFCC, pitch and moments, functionals, users' own arrays, their cache, normalisation.

>>> from ctl_helpers.features import FEATURES
>>> print(FEATURES["egemaps"])
88 functionals of openSMILE's eGeMAPS v02, a vector per utterance
"""

from ctl_helpers.features.arrays import is_array
from ctl_helpers.features.extraction import extract, feature_key
from ctl_helpers.features.normalisation import (
    NORMALISATIONS,
    SECONDS,
    TRANSDUCTIVE,
    Normalised,
    normalise,
    standardise,
    with_versions,
)
from ctl_helpers.features.settings import FEATURES, PRESETS, Features, FeatureSettings, short_hash
