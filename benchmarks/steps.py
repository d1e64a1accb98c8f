"""A training step: ours against the plain stack of layers, on all cores and folds side by side.

Threads can be set but once in a process, so every layout has processes of its own that wait
between their turns.
"""

import multiprocessing
import time

import numpy as np

from benchmarks.measure import interleave, ratios, spread, table
from ctl_helpers.parallel import cores

SHAPE, CLASSES, BATCH = (172, 39), 6, 64
PRODUCT = 2048  # rows and columns of the matrices whose product is the machine's peak
CHAIN = 4


def report(repetitions, batches):
    """Measure and write the table of steps; return it and the numbers."""
    layouts = {"all cores": [cores()], "side by side": [1] * cores()}
    with Workers(layouts, batches) as workers:
        names = [
            (work, layout)
            for work in ("plain", "float32", "bfloat16", "product float32", "product bfloat16")
            for layout in layouts
        ]
        found = interleave(
            {
                f"{work}, {layout}": lambda work=work, layout=layout: workers.rate(layout, work)
                for work, layout in names
            },
            repetitions,
        )
    return _table(found, layouts), found


def _table(found, layouts):
    from benchmarks.plain import flops_per_utterance

    need = flops_per_utterance(*SHAPE, CLASSES) / 1e9
    base = found["plain, all cores"]
    rows = []
    for work in ("plain", "float32", "bfloat16"):
        for layout in layouts:
            rate = found[f"{work}, {layout}"]
            precision = "bfloat16" if work == "bfloat16" else "float32"
            peak = found[f"product {precision}, {layout}"]
            share = [100 * need * one for one in ratios(rate, peak)]
            name = "plain Keras layers" if work == "plain" else f"ours, {work}"
            rows.append([name, layout, spread(rate), spread(ratios(rate, base)), spread(share, 2)])
    head = ["step", "threads", "utterances/s", "times plain on all cores", "% of product peak"]
    peaks = [
        [work, layout, spread(found[f"product {work}, {layout}"])]
        for work in ("float32", "bfloat16")
        for layout in layouts
    ]
    return "\n\n".join(
        [
            f"One step needs {need:.2f} GFLOP per utterance of {SHAPE[0]} x {SHAPE[1]}, "
            f"batch {BATCH}.",
            table(head, rows),
            table([f"product of {PRODUCT} x {PRODUCT}", "threads", "GFLOP/s"], peaks),
        ]
    )


class Workers:
    """Processes that train when told to; a context manager.

    Parameters
    ----------
    layouts : dict of str to list of int
        Threads of every process of a layout.
    batches : int
        Length of one measurement.
    """

    def __init__(self, layouts, batches):
        self.layouts, self.batches = layouts, batches

    def __enter__(self):
        context = multiprocessing.get_context("spawn")
        self.lines, self.processes = {}, []
        for layout, threads in self.layouts.items():
            self.lines[layout] = []
            for count in threads:
                here, there = context.Pipe()
                process = context.Process(
                    target=serve, args=(there, count, self.batches), daemon=True
                )
                process.start()
                self.processes.append(process)
                self.lines[layout].append(here)
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.terminate()
            process.join()

    def rate(self, layout, work):
        """Let all processes of a layout work; return utterances (or GFLOP) per second."""
        started = time.perf_counter()
        for line in self.lines[layout]:
            line.send(work)
        done = sum(line.recv() for line in self.lines[layout])
        return done / (time.perf_counter() - started)


def serve(line, threads, batches):
    """Do what comes down the line and answer how much was done."""
    from ctl_helpers.networks import backend

    backend.prepare(0, threads)
    work = {}
    while True:
        name = line.recv()
        if name not in work:
            kind, _, precision = name.rpartition(" ")
            work[name] = product(precision) if kind else step(name, batches)
        line.send(work[name]())


def step(name, batches):
    """Give a function that trains on some batches and returns how many utterances that were."""
    from benchmarks.plain import compile_plain, plain_cpac
    from ctl_helpers.networks import backend, training
    from ctl_helpers.networks.cpac import cpac
    from ctl_helpers.networks.losses import one_hot
    from ctl_helpers.networks.recipes import recipe

    count = batches * BATCH
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, *SHAPE, 1)).astype(np.float32)
    y = one_hot(generator.integers(CLASSES, size=count), CLASSES, 0.1)
    if name == "plain":
        model = plain_cpac(*SHAPE, CLASSES)
        compile_plain(model)
        train = model.train_on_batch
    else:
        ours = recipe("released", precision=name)
        model = cpac(*SHAPE, CLASSES, **training.network(ours))
        training.compile_model(model, ours, count)
        train = backend.training_step(model, x[:BATCH], y[:BATCH])

    def run():
        # Not fit: on several threads its pipeline halves the rate now and then, of either network.
        for start in range(0, count, BATCH):
            train(x[start : start + BATCH], y[start : start + BATCH])
        return count

    return run


def product(precision, size=PRODUCT):
    """Give a function that multiplies large matrices and returns the GFLOP that took."""
    import keras

    inputs = x = keras.Input((size,), dtype=precision)
    for _ in range(CHAIN):
        x = keras.layers.Dense(size, use_bias=False, dtype=precision)(x)
    x = keras.ops.cast(keras.ops.mean(x, axis=-1), "float32")  # little to bring back
    model = keras.Model(inputs, x)
    data = keras.random.normal((size, size), dtype=precision)

    def run():
        np.asarray(model.predict_on_batch(data))
        return CHAIN * 2 * size**3 / 1e9

    return run
