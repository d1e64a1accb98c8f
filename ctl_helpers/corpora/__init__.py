"""Corpora: what is known of them, where they lie, what they hold."""

from ctl_helpers.corpora.audit import Audit, audit
from ctl_helpers.corpora.catalogue import CATALOGUE, LAYOUTS, samples_of, signal_length
from ctl_helpers.corpora.copies import drop_copies
from ctl_helpers.corpora.find import find_corpora
from ctl_helpers.corpora.manifest import load_manifest
from ctl_helpers.corpora.miniature import SYNTHETIC, is_miniature, make_miniature
from ctl_helpers.corpora.signals import check, read_audio
from ctl_helpers.corpora.words import EMOTIONS, emotion_named
