"""One command, one machine, one table of ratios: ``python -m benchmarks``."""

import argparse
import json
import sys
from pathlib import Path

from benchmarks import folds, gpu, scale, speech, steps
from benchmarks.measure import machine
from ctl_helpers.errors import StudyError


def main(arguments=None):
    """Run what was asked for and print it as Markdown."""
    asked = _parser().parse_args(arguments)
    repetitions = asked.repetitions or (1 if asked.quick else 7)
    corpora, quick = asked.corpora, asked.quick
    parts = {}
    if asked.gpu:
        epochs = asked.epochs or (2 if quick else 300)
        parts["On a GPU"] = lambda: gpu.report(
            2 if quick else 10, epochs, asked.jobs, corpora, asked.precision
        )
    elif asked.scale:
        parts["At scale"] = lambda: scale.report(asked.scale, 100 if quick else 1000)
    elif asked.cross_validation:
        repetitions = asked.repetitions or (1 if quick else 3)
        epochs = asked.epochs or (1 if quick else 5)
        parts["A whole cross-validation"] = lambda: folds.report(
            repetitions, 2 if quick else 10, epochs, corpora
        )
    else:
        parts["Training steps"] = lambda: steps.report(repetitions, 1 if quick else 8)
        parts["Features"] = lambda: speech.report(repetitions, 4 if quick else 64, corpora)
    found = {}
    try:
        found["machine"] = machine()
        print(", ".join(f"{name} {value}" for name, value in found["machine"].items()))
        for title, part in parts.items():
            text, found[title] = part()
            print(f"\n## {title}\n\n{text}", flush=True)
        if asked.json:
            Path(asked.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except (StudyError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure training steps and features against plain Keras and plain librosa: "
        "medians of interleaved repetitions, with least and greatest, as Markdown.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--cross-validation",
        action="store_true",
        help="in place of that, a whole cross-validation of EmoDB's size, 10 folds of 5 epochs, "
        "against one written as the released code does it (about 20 minutes on 2 cores)",
    )
    what.add_argument(
        "--scale",
        type=int,
        metavar="N",
        help="in place of that, features and one epoch of 1 000 and of N synthetic utterances: "
        "cost of each and peak memory (100 000: about 4 minutes and 5 GB of disk on 2 cores)",
    )
    what.add_argument(
        "--gpu",
        action="store_true",
        help="in place of that, CASIA's 10 folds of 300 epochs on a GPU",
    )
    parser.add_argument("--repetitions", type=int, metavar="N", help="of every measurement")
    parser.add_argument("--epochs", type=int, metavar="N", help="of a cross-validation")
    parser.add_argument(
        "--corpora",
        metavar="FOLDER",
        help="folder of the corpora, for EmoDB's or CASIA's recordings; without it noise of the "
        "same size",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="folds at once on a GPU")
    parser.add_argument(
        "--precision", choices=["float32", "bfloat16"], default="float32", help="on a GPU"
    )
    parser.add_argument("--json", metavar="FILE", help="write every single number there")
    parser.add_argument(
        "--quick", action="store_true", help="see whether it runs; the numbers mean nothing"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
