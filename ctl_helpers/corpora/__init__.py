"""Corpora: what is known of them, where they lie, what they hold."""

from ctl_helpers.corpora.audit import Audit, audit
from ctl_helpers.corpora.catalogue import (
    CATALOGUE,
    Corpus,
    corpus,
    shared_emotions,
    signal_length,
)
from ctl_helpers.corpora.find import find_corpora
from ctl_helpers.corpora.manifest import load_manifest, read_audio
from ctl_helpers.corpora.miniature import is_miniature, make_miniature
from ctl_helpers.corpora.native import EMOTIONS, Labels, emotion_named

__all__ = [
    "CATALOGUE",
    "EMOTIONS",
    "Audit",
    "Corpus",
    "Labels",
    "audit",
    "corpus",
    "emotion_named",
    "find_corpora",
    "is_miniature",
    "load_manifest",
    "make_miniature",
    "read_audio",
    "shared_emotions",
    "signal_length",
]
