"""Time the package on this machine and print Markdown tables: ``python -m benchmarks``."""

import argparse
import json
import sys
from pathlib import Path

from benchmarks import scale, steps
from benchmarks.measure import machine


def main(arguments=None):
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time training steps of CPAC and TIM-Net against the same networks in stock "
        "Keras layers: medians of interleaved repetitions, with least and greatest.",
    )
    parser.add_argument(
        "--scale",
        type=int,
        metavar="N",
        help="instead, extract the features of 1 000 and of N synthetic utterances: time and "
        "peak memory (100 000 take about 5 GB of disk)",
    )
    parser.add_argument("--repetitions", type=int, default=15, help="of every step (default 15)")
    parser.add_argument("--json", metavar="FILE", help="write every single number there")
    parser.add_argument(
        "--quick", action="store_true", help="see whether it runs; the numbers mean nothing"
    )
    asked = parser.parse_args(arguments)
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    if asked.scale:
        text, found = scale.report(asked.scale, 100 if asked.quick else 1000)
    else:
        text, found = steps.report(*((1, 1) if asked.quick else (asked.repetitions, 3)))
    print(f"\n{text}")
    if asked.json:
        Path(asked.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
