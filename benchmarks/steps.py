"""Training steps: CPAC and TIM-Net against the same networks in stock Keras layers.

TensorFlow's threads can be set only once in a process, so each layout has processes of its own.
"""

import multiprocessing
import time
from functools import partial

import numpy as np

from benchmarks.measure import interleave, ratios, spread, table
from ctl_helpers.parallel import cores

BATCH = 64
SHAPES = {"CPAC": (172, 39, 6), "TIM-Net": (188, 39, 7)}
STEPS = {
    "CPAC, plain layers": ("CPAC", "plain"),
    "CPAC, float32": ("CPAC", "float32"),
    "CPAC, bfloat16": ("CPAC", "bfloat16"),
    "TIM-Net, stock layers": ("TIM-Net", "plain"),
    "TIM-Net, float32": ("TIM-Net", "float32"),
}


def report(repetitions, batches):
    """Measure all steps in turn; return the table and the numbers."""
    layouts = {"all cores": [cores()], "side by side": [1] * cores()}
    with Workers(layouts, batches) as workers:
        found = interleave(
            {
                f"{step}, {layout}": partial(workers.rate, layout, step)
                for step in STEPS
                for layout in layouts
            },
            repetitions,
        )
    rows = []
    for step, (network, _) in STEPS.items():
        yardstick = next(name for name, work in STEPS.items() if work == (network, "plain"))
        for layout in layouts:
            rates, cpu = zip(*found[f"{step}, {layout}"], strict=True)
            base, base_cpu = zip(*found[f"{yardstick}, {layout}"], strict=True)
            times = spread(ratios(rates, base))
            per_cpu = spread(ratios(base_cpu, cpu))
            rows.append([step, layout, spread(rates), times, per_cpu])
    head = ["step", "threads", "utterances/s", "times the plain layers", "by CPU time"]
    return table(head, rows), found


class Workers:
    """Processes that train on request; a context manager.

    Parameters
    ----------
    layouts : dict of str to list of int
        Threads of every process of a layout.
    batches : int
        Steps in one measurement.
    """

    def __init__(self, layouts, batches):
        self.layouts, self.batches = layouts, batches

    def __enter__(self):
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = {}, []
        for layout, threads in self.layouts.items():
            self.pipes[layout] = []
            for count in threads:
                here, there = context.Pipe()
                arguments = (there, count, self.batches)
                process = context.Process(target=serve, args=arguments, daemon=True)
                process.start()
                self.processes.append(process)
                self.pipes[layout].append(here)
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.terminate()
            process.join()

    def rate(self, layout, step):
        """Train in all processes of a layout; return utterances per second, and CPU seconds."""
        pipes = self.pipes[layout]
        started = time.perf_counter()
        for pipe in pipes:
            pipe.send(step)
        cpu = sum(pipe.recv() for pipe in pipes)
        seconds = time.perf_counter() - started
        return len(pipes) * self.batches * BATCH / seconds, cpu


def serve(pipe, threads, batches):
    """Run the requested steps and answer with the CPU seconds they took."""
    from ctl_helpers.networks import backend

    backend.prepare(0, threads)
    steps = {}
    while True:
        name = pipe.recv()
        if name not in steps:
            steps[name] = training(*STEPS[name])
        started = time.process_time()
        for _ in range(batches):
            steps[name]()
        pipe.send(time.process_time() - started)


def training(network, kind):
    """Make a function that trains a network on one batch of noise and waits for the loss.

    Parameters
    ----------
    network : {"CPAC", "TIM-Net"}
        Which one.
    kind : {"plain", "float32", "bfloat16"}
        Stock Keras layers, or ours with products of that precision.
    """
    import keras

    from benchmarks.plain import plain_cpac
    from ctl_helpers.networks.backend import training_step
    from ctl_helpers.networks.cpac import cpac
    from ctl_helpers.networks.losses import margin_loss, one_hot
    from ctl_helpers.networks.timnet import timnet
    from tests.reference_timnet import stock_timnet

    frames, coefficients, classes = SHAPES[network]
    generator = np.random.default_rng(0)
    x = generator.normal(size=(BATCH, frames, coefficients)).astype(np.float32)
    y = one_hot(generator.integers(classes, size=BATCH), classes, 0.1)
    if network == "CPAC":
        ours, loss = partial(cpac, precision=kind), margin_loss
        model = (plain_cpac if kind == "plain" else ours)(*SHAPES[network])
    else:
        loss = "categorical_crossentropy"
        model = (stock_timnet if kind == "plain" else timnet)(*SHAPES[network])
    optimizer = keras.optimizers.Adam(1e-3, beta_1=0.93, beta_2=0.98, epsilon=1e-8)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    step = training_step(model, x, y)
    return lambda: float(step(x, y)["loss"])
