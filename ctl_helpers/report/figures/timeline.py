"""The emotions of recordings over time."""

import pandas as pd
from matplotlib.figure import Figure

from ctl_helpers.report.figures.style import colour_of, panels, styled


@styled
def timeline(table: pd.DataFrame) -> Figure:
    """Draw the probability of each emotion over time, a panel per recording.

    Parameters
    ----------
    table : DataFrame
        From :func:`ctl_helpers.runs.predict.predict_files`: file, start and end in seconds (missing
        where it is a whole recording), emotion, and a column of probability per emotion.
    """
    emotions = list(table.columns[4:])
    recordings = list(table.groupby("file", sort=False))
    figure, axes = panels(len(recordings), 1, 8.0, 2.2)
    for (ax,), (file, rows) in zip(axes, recordings, strict=True):
        middle = ((rows["start"].fillna(0) + rows["end"].fillna(1)) / 2).to_numpy()
        colours = [colour_of(name, i) for i, name in enumerate(emotions)]
        if len(rows) == 1:
            ax.bar(emotions, 100 * rows[emotions].to_numpy(float)[0], color=colours)
        else:
            shares = 100 * rows[emotions].to_numpy(float).T
            ax.stackplot(middle, shares, labels=emotions, colors=colours, lw=0)
            ax.set(xlabel="time (s)", xlim=(middle[0], middle[-1]))
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        ax.set(ylabel="probability %", ylim=(0, 100), title=str(file).rsplit("/", 1)[-1])
    return figure
