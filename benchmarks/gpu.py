"""All of CASIA's cross-validation on a GPU: seconds, and what part of the device's peak that is."""

import tempfile
import time

from benchmarks.folds import corpus_features
from benchmarks.measure import table
from ctl_helpers.errors import StudyError
from ctl_helpers.methods.experiments import cross_validate
from ctl_helpers.networks.recipes import recipe

PRODUCT = 8192


def report(folds, epochs, jobs=1, corpora=None, precision="float32"):
    """Run it; return the table and the numbers.

    Raises
    ------
    StudyError
        Where Keras's backend sees no GPU.
    """
    from benchmarks.plain import flops_per_utterance
    from benchmarks.steps import product
    from ctl_helpers.networks import backend

    if not backend.on_gpu():
        raise StudyError(
            f"benchmark on a GPU: expected a GPU that Keras's backend can use, got "
            f"{backend.device()}; see the extras gpu and jax in pyproject.toml"
        )
    features = corpus_features("casia", corpora)
    multiply = product(precision, PRODUCT)
    multiply()
    peaks = []
    for _ in range(5):
        started = time.perf_counter()
        peaks.append(multiply() / (time.perf_counter() - started))

    chosen = recipe("released", epochs=epochs, precision=precision)
    with tempfile.TemporaryDirectory() as store:
        started = time.perf_counter()
        runs = cross_validate(features, chosen, folds=folds, store=store, jobs=jobs)
        taken = time.perf_counter() - started
    steps = int(runs["train_utterances"].sum()) * epochs
    rate = steps / taken
    needed = rate * flops_per_utterance(*features.values.shape[1:], 6) / 1e9
    found = {
        "device": backend.device(),
        "seconds": taken,
        "utterances_per_second": rate,
        "peak_gflops": max(peaks),
        "fraction_of_peak": needed / max(peaks),
    }
    row = [backend.device(), precision, f"{folds} x {epochs}", jobs, f"{taken:.0f}", f"{rate:.0f}"]
    head = ["device", "precision", "folds x epochs", "side by side", "seconds", "utterances/s"]
    percent = f"{100 * found['fraction_of_peak']:.2g} % of {max(peaks):.0f} GFLOP/s"
    return table([*head, "of product peak"], [[*row, percent]]), found
