"""What shifts between corpora, one thing at a time: ``python -m benchmarks.ablation CORPORA``.

The recipe ``modern`` for transfers is trained as it is, and with one setting or the method changed,
for all ordered pairs of corpora and several seeds. Targets' labels do nothing but score.
"""

import argparse
import dataclasses
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora import find_corpora, load_manifest
from ctl_helpers.features.mfcc import PRESETS
from ctl_helpers.methods.transfers import pairs, transfer, transfer_features
from ctl_helpers.networks.adaptation import METHODS
from ctl_helpers.networks.recipes import transfer_recipe
from ctl_helpers.report.markup import to_markdown
from ctl_helpers.report.tables import display
from ctl_helpers.results.naming import name_of
from ctl_helpers.results.statistics import mean_interval

PLAIN = dict.fromkeys(("shift", "time_mask", "frequency_mask"), 0)
PLAIN |= dict.fromkeys(("mixup", "cutmix", "speed", "noise"), 0.0) | {"resampled": ()}
TRIMMED = {"trim": PRESETS["moments"].trim}
# What each line of the table changes in the recipe as it is now, or in the settings of its
# features; what it has already is left out.
CHANGES = {
    "not normalised": {"normalisation": "none"},
    "normalised by the source": {"normalisation": "global"},
    "normalised per corpus": {"normalisation": "corpus"},
    "normalised per speaker": {"normalisation": "speaker"},
    "padding kept": {"padding": "kept"},
    "padding zeroed": {"padding": "zeroed"},
    "per corpus, padding kept": {"normalisation": "corpus", "padding": "kept"},
    "not normalised, padding kept": {"normalisation": "none", "padding": "kept"},
    "without shift": {"shift": 0},
    "without CutMix": {"cutmix": 0.0},
    "not resampled": {"resampled": ()},
    "silence at the ends kept": {"settings": {"trim": None}},
    "moments over 0.7 s": {"settings": {"moments": 31}},
    "pitch and 36 coefficients": {"features": "pitch", "settings": TRIMMED},
    "39 coefficients": {"features": "released", "settings": TRIMMED},
    "without augmentation": PLAIN,
    "with speed": {"speed": 0.1},
    "with noise": {"noise": 0.2},
}


def conditions(base, method, methods, changes=tuple(CHANGES)):
    """List what is trained: (name, recipe, settings of the features, method)."""
    own = PRESETS[base.features]
    found = [("as it is", base, own, method)]
    for name in changes:
        change = CHANGES[name]
        in_recipe = {field: value for field, value in change.items() if field != "settings"}
        recipe = dataclasses.replace(base, **in_recipe)
        settings = dataclasses.replace(PRESETS[recipe.features], **change.get("settings", {}))
        if (recipe, settings) != (base, own):
            found.append((name, recipe, settings, method))
    return found + [(f"method {other}", base, own, other) for other in methods if other != method]


def table(runs):
    """Lay out UAR in percent with its interval over seeds: conditions x pairs, and their mean.

    Parameters
    ----------
    runs : DataFrame
        From `transfer`, with a column ``condition``.
    """
    runs = runs.assign(
        pair=[f"{name_of(a)} → {name_of(b)}" for a, b in runs[["source", "target"]].to_numpy()]
    )
    rows = []
    for condition, group in runs.groupby("condition", sort=False):
        of_seed = 100 * group.pivot_table("uar", "seed", "pair", sort=False)
        if of_seed.shape[1] > 1:
            of_seed["mean"] = of_seed.mean(axis=1, skipna=False)
        row = {"condition": condition}
        for pair in of_seed:
            ends = (pair, f"{pair}_low", f"{pair}_high")
            row |= dict(zip(ends, mean_interval(of_seed[pair].dropna()), strict=True))
        rows.append(row | {"seeds": len(of_seed)})
    return pd.DataFrame(rows)


def main(arguments=None):
    """Train what is missing of every condition and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="CORPORA", help="folder that holds the corpora")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--names", nargs="+", help="corpora (default: all that are found)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--method", default="caam-mdd", choices=METHODS, help="of all the changes")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument(
        *("--changes",),
        **{"nargs": "+", "default": list(CHANGES), "choices": CHANGES, "metavar": "CHANGE"},
        help=f"some of: {', '.join(CHANGES)} (default: all)",
    )
    parser.add_argument("--epochs", type=int, help="in place of the recipe's own, for trials")
    parser.add_argument("--jobs", type=int, help="runs side by side (default: one per core)")
    parsed = parser.parse_args(arguments)
    base = transfer_recipe("modern", **({"epochs": parsed.epochs} if parsed.epochs else {}))
    names = parsed.names or list(find_corpora(parsed.root))
    manifests = {name: load_manifest(parsed.root, name) for name in names}
    found = []
    listed = conditions(base, parsed.method, parsed.methods, parsed.changes)
    for condition, recipe, settings, method in listed:
        features = {name: transfer_features(manifests[name], settings) for name in names}
        for source, target in pairs(names):
            runs = transfer(
                *(features[source], features[target], recipe),
                **{"method": method, "seeds": parsed.seeds},
                **{"store": parsed.out, "jobs": parsed.jobs},
            )
            found.append(runs.assign(condition=condition))
    note = f"Recipe modern, method {parsed.method} where no other is named; intervals over seeds."
    print(to_markdown(display(table(pd.concat(found))), "UAR %, one thing changed at a time", note))


if __name__ == "__main__":
    main()
