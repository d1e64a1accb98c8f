"""Speech emotion recognition with CTL-MTNet: corpora, features, protocols, networks, results."""
