"""Interleaved repetitions, their medians and spread, and the machine they were taken on."""

import os
import platform
import statistics
import sys
from pathlib import Path

from ctl_helpers.parallel import cores
from ctl_helpers.versions import version_of


def interleave(functions, repetitions):
    """Call functions in turn, A B C A B C ..., so that other load on the machine meets all alike.

    Parameters
    ----------
    functions : dict of str to callable
        Each returns what it measured; it is called once more before, to warm up.
    repetitions : int
        Of every one.

    Returns
    -------
    dict of str to list
    """
    for name, function in functions.items():
        say(f"warm-up: {name}")
        function()
    found = {name: [] for name in functions}
    for repetition in range(repetitions):
        for name, function in functions.items():
            found[name].append(function())
            say(f"{repetition + 1}/{repetitions} {name}: {found[name][-1]}")
    return found


def say(text):
    """Report progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def spread(values, digits=3):
    """Write the median of some numbers and, in brackets, the least and the greatest."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}g} ({low:.{digits}g} to {high:.{digits}g})"


def ratios(values, base):
    """Ratios of two interleaved series, pair by pair."""
    return [one / other for one, other in zip(values, base, strict=True)]


def table(head, rows):
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def machine():
    """Cores, processor and versions, as a dict."""
    import keras

    from ctl_helpers.networks import backend

    backend_name = keras.backend.backend()
    return {
        "cores": cores(),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "backend": backend_name,
        "device": backend.device(),
        **{name: version_of(name) for name in ("keras", "numpy")},
        backend_name: version_of(backend_name, f"{backend_name}-cpu"),
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {name.strip(): value.strip() for name, value in info.items()}
    products = [
        name for name in ("avx2", "avx512_bf16", "amx_bf16") if name in fields.get("flags", "")
    ]
    return ", ".join([fields.get("model name", platform.machine()), *products])
