"""The search that led to the modern recipes: ``python -m benchmarks.search ROOT --out FOLDER``.

Only the training part of fold 0 of each corpus is looked at: it is divided again, into five folds
or by speaker, of which a few train and test the candidates. The test part of fold 0 is never
touched; the test parts of the other folds took part here as training or inner test utterances.
"""

import argparse
import dataclasses
from pathlib import Path

from ctl_helpers.corpora import load_manifest
from ctl_helpers.features.mfcc import extract
from ctl_helpers.methods.experiments import cross_validate
from ctl_helpers.networks.recipes import recipe
from ctl_helpers.protocols.inside import make_splits

_FIRST = {
    "features": "released",
    "padding": "kept",
    "epochs": 60,
    "schedule": "one-cycle",
    "averaging": 0.0,
    "mixup": 0.3,
    "cutmix": 0.0,
}
_ZEROED = {**_FIRST, "padding": "zeroed"}
_SPLICED = {**_ZEROED, "mixup": 0.0, "cutmix": 0.5}
_LESS_DROPOUT = {"dropout": (0.3, 0.2, 0.2)}
_PLATEAU = {"schedule": "plateau", "averaging": 0.5}
# What each candidate changes in the recipe as it is now.
CANDIDATES = {
    "A": _FIRST,
    "B": {**_FIRST, "weight_decay": 0.1},
    "C": {**_FIRST, "speed": 0.1, "shift": 16},
    "D": {**_FIRST, "epochs": 120},
    "E": _ZEROED,
    "F": {**_ZEROED, "speed": 0.1, "shift": 16, "epochs": 100},
    "G": {**_ZEROED, "speed": 0.1, "shift": 16, "epochs": 100, **_LESS_DROPOUT},
    "H": {**_ZEROED, "dropout": (0.3, 0.3, 0.3), "learning_rate": 1e-3},
    "I": {**_ZEROED, **_PLATEAU},
    "J": _SPLICED,
    "K": {**_SPLICED, "epochs": 100, **_LESS_DROPOUT},
    "L": {**_SPLICED, "epochs": 100, **_PLATEAU},
    "M": {**_SPLICED, "epochs": 80, "mixup": 0.3, "averaging": 0.25},
    "N": {"features": "released"},
    "O": {},
}
# What may help with voices never heard; transfers began with the last. README has Q and S with
# moments as they were at commit 9888f9e.
_SHORT = {"epochs": 40}
_RESAMPLED = {**_SHORT, "resampled": (0.84, 0.92, 1.09, 1.19)}
SPEAKERS = {
    "P": _SHORT,
    "Q": {**_SHORT, "features": "moments"},
    "R": _RESAMPLED,
    "S": {**_RESAMPLED, "features": "moments"},
}
# Protocol of the inner splits: candidates, and the numbers of the splits of each corpus.
SEARCHES = {
    "kfold": (CANDIDATES, {"emodb": (0, 1, 2), "casia": (0,)}),
    "loso": (SPEAKERS, {"emodb": (1, 5)}),
}


def main():
    """Train every candidate and print its mean scores on the inner splits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="folder that holds emodb and casia")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--protocol", default="kfold", choices=SEARCHES, help="of inner splits")
    parser.add_argument("--candidates", nargs="+", help="their letters (default: all)")
    parsed = parser.parse_args()
    candidates, inner = SEARCHES[parsed.protocol]
    if unknown := set(parsed.candidates or ()) - set(candidates):
        parser.error(f"--candidates: expected some of {' '.join(candidates)}, got {min(unknown)}")
    for corpus, only in inner.items():
        manifest = load_manifest(parsed.root, corpus)
        for name in parsed.candidates or candidates:
            candidate = dataclasses.replace(recipe("modern", **candidates[name]), name=name)
            features = extract(manifest, candidate.features)
            part = features.select(make_splits(features.manifest, "kfold")[0].train)
            options = {"folds": 5, "store": parsed.out, "only": only}
            runs = cross_validate(part, candidate, protocol=parsed.protocol, **options)
            uar, war = 100 * runs["uar"].mean(), 100 * runs["war"].mean()
            print(f"{corpus} {name}: UAR {uar:.1f} WAR {war:.1f} {candidates[name]}", flush=True)


if __name__ == "__main__":
    main()
