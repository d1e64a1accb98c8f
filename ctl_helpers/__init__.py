"""Speech emotion recognition with CTL-MTNet: corpora, features, protocols, networks, results."""

import os

__version__ = "0.2.0"

# Before any backend is imported, here and in every process started from here.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
