"""Figures that explain a saved network: its layers, and how capsules share out what they have."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.preprocessing import StandardScaler

from ctl_helpers.networks.saved import SavedLayer
from ctl_helpers.report.figures.speech import draw_image
from ctl_helpers.report.figures.style import BLUE, GREY, ORANGE, panels, styled


@styled
def network(layers: Sequence[SavedLayer], title: str = "") -> Figure:
    """Draw a network: a bar per layer, as wide as its output is large, its parameters beside it.

    Parameters
    ----------
    layers
        From `read_network`.
    title
        Of the figure.
    """
    layers = [layer for layer in layers if layer.kind not in ("Card", "Dropout")]
    figure, ((ax,),) = panels(1, 1, 8.6, 0.8 + 0.3 * len(layers))
    places: dict[str, int] = {}
    write = {"ha": "right", "va": "center", "fontsize": 9}
    ax.text(1.45, -0.9, "output", **write)
    total = sum(layer.parameters for layer in layers)
    ax.text(2.15, -0.9, f"parameters: {total:,}".replace(",", " "), **write)
    for y, layer in enumerate(layers):
        width = 0.35 + 0.3 * np.log10(np.prod(layer.shape))
        look = {"color": BLUE, "alpha": 0.3} if layer.parameters else {"color": GREY, "alpha": 0.15}
        ax.barh(y, width, 0.65, -width / 2, **look)
        ax.text(0, y, layer.name.replace("_", " "), **write | {"ha": "center"})
        ax.text(1.45, y, " × ".join(map(str, layer.shape)), **write)
        numbers = f"{layer.parameters:,}".replace(",", " ") if layer.parameters else "–"
        ax.text(2.15, y, numbers, **write)
        for before in (places.get(name, y - 1) for name in layer.inputs):
            if before < y - 1:  # it does not come from the layer above
                arrow = {"arrowstyle": "->", "color": ORANGE, "connectionstyle": "arc3,rad=0.35"}
                ax.annotate("", (-width / 2, y), (-0.9, before), arrowprops=arrow)
        places[layer.name] = y
    ax.set(xlim=(-1.5, 2.2), ylim=(len(layers) - 0.4, -1.3), title=title)
    ax.axis("off")
    return figure


@styled
def routing(coupling: np.ndarray, features: np.ndarray) -> Figure:
    """Draw what routing does to one utterance: its features, and who gives whom how much.

    Parameters
    ----------
    coupling
        From `replay`, shape (routings, capsules in, capsules out).
    features
        Of the utterance, shape (frames, coefficients).
    """
    rounds, count, outputs = coupling.shape
    figure, axes = panels(rounds + 1, 1, 9.0, 1.35, sharex=True)
    (top,), *below = axes
    draw_image(top, StandardScaler().fit_transform(features).T, count)
    top.set(title="features, from beginning to end", ylabel="row")
    brightest = max(2 / outputs, coupling.max())
    box = {"extent": (0, count, outputs + 0.5, 0.5), "vmin": 0, "vmax": brightest}
    for number, ((ax,), shares) in enumerate(zip(below, coupling, strict=True), 1):
        drawn = ax.imshow(shares.T, cmap="viridis", interpolation="nearest", **box)
        ax.set(yticks=range(1, outputs + 1), ylabel="to capsule")
        largest = shares.max(axis=1).mean()
        ax.set_title(f"round {number}: the largest share is {largest:.2f} on average")
    ax.set_xlabel("primary capsules in order of time")
    figure.colorbar(drawn, ax=[ax for (ax,) in below], label="share", pad=0.01, aspect=30)
    return figure
