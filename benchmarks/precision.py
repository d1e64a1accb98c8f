"""What bfloat16 costs in scores: ``python -m benchmarks.precision ROOT --out FOLDER``.

The recipe is trained in float32 and in bfloat16 on the same folds from the same seed.
"""

import argparse
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora import load_manifest
from ctl_helpers.features.mfcc import extract
from ctl_helpers.methods.experiments import cross_validate
from ctl_helpers.networks.recipes import RECIPES, recipe
from ctl_helpers.results.statistics import corrected_resampled_t_test

PRECISIONS = ("float32", "bfloat16")


def paired(runs):
    """Lay UAR in percent out by fold and precision, and test the mean difference.

    Parameters
    ----------
    runs : dict
        Precision -> runs, as `cross_validate` gives them.

    Returns
    -------
    table : DataFrame
        A row per fold, a column per precision.
    test : PairedTest
        Of bfloat16 less float32: the corrected resampled t-test (Nadeau and Bengio, 2003).
    """
    table = pd.DataFrame(
        {name: 100 * rows.set_index("split")["uar"] for name, rows in runs.items()}
    )
    first = runs[PRECISIONS[0]]
    share = (first["utterances"] / first["train_utterances"]).mean()
    return table, corrected_resampled_t_test(table["bfloat16"], table["float32"], share)


def main():
    """Train what is missing and print the scores side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="folder that holds the corpora")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--name", default="emodb", help="of the corpus [emodb]")
    parser.add_argument("--recipe", default="modern", choices=RECIPES, help="[modern]")
    parser.add_argument("--only", nargs="+", type=int, help="two or more of the shuffled ten [all]")
    parsed = parser.parse_args()
    features = extract(load_manifest(parsed.root, parsed.name), RECIPES[parsed.recipe].features)
    runs = {
        name: cross_validate(
            *(features, recipe(parsed.recipe, precision=name)),
            **{"store": parsed.out, "only": parsed.only},
        )
        for name in PRECISIONS
    }
    table, test = paired(runs)
    print(table.round(1).to_string())
    print(f"mean UAR %: {', '.join(f'{n} {table[n].mean():.1f}' for n in PRECISIONS)}")
    print(f"{test.difference:+.1f} [{test.low:+.1f}, {test.high:+.1f}] points, p = {test.p:.2f}")


if __name__ == "__main__":
    main()
