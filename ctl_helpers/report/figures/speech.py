"""Figures of corpora and features."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.mlab import specgram
from numpy.typing import ArrayLike

from ctl_helpers.report.figures.style import BLUE, colours_of, panels, styled
from ctl_helpers.results.naming import name_of


def one_per_emotion(manifest: pd.DataFrame) -> pd.DataFrame:
    """Pick one utterance per emotion, if possible of one speaker and one sentence.

    Parameters
    ----------
    manifest
        Of one corpus, from `corpora.load_manifest`.

    Returns
    -------
    pandas.DataFrame
        Rows of the manifest, sorted by emotion.
    """
    near = []
    for columns in (["speaker", "text"], ["speaker"]):
        reach = manifest.groupby(columns)["emotion"].transform("nunique")
        near.append(manifest[columns].eq(manifest.loc[reach.idxmax(), columns]).all(axis=1))
    order = np.lexsort([~near[1], ~near[0]])  # the sentence counts first
    return manifest.iloc[order].drop_duplicates("emotion").sort_values("emotion")


@styled
def utterance_panels(
    signals: Mapping[str, ArrayLike], coefficients: Mapping[str, ArrayLike], sampling_rate: int
) -> Figure:
    """Show one utterance per emotion as waveform, spectrogram and MFCC.

    Parameters
    ----------
    signals
        Emotion -> samples, shape (samples,).
    coefficients
        Emotion -> its MFCC without padding, shape (frames, coefficients); the first, which is
        loudness and would drown the others, is not shown.
    sampling_rate
        Of the signals, in Hz.
    """
    wide = max(1.9, 9 / len(signals))
    figure, axes = panels(3, len(signals), wide, 1.9, sharex="col", sharey="row")
    images = {emotion: np.asarray(coefficients[emotion]).T[1:] for emotion in signals}
    peak = max(np.abs(signal).max() for signal in signals.values()) or 1.0
    extent = np.quantile(np.abs(np.concatenate(list(images.values()), axis=1)), 0.99)
    colours = colours_of(signals)
    for i, (emotion, signal) in enumerate(signals.items()):
        wave, spectrum, cepstrum = (row[i] for row in axes)
        end, width = len(signal) / sampling_rate, min(len(signal), int(0.032 * sampling_rate))
        times = np.arange(len(signal)) / sampling_rate
        wave.plot(times, signal, lw=0.4, color=colours[emotion])
        wave.set(title=emotion, xlim=(0, end), ylim=(-peak, peak))
        power, *_ = specgram(signal, width, sampling_rate, noverlap=3 * width // 4)
        decibels = 10 * np.log10(np.maximum(power, 1e-12) / max(power.max(), 1e-12))
        box = {"origin": "lower", "extent": (0, end, 0, sampling_rate / 2000)}
        loud = spectrum.imshow(decibels, cmap="magma", vmin=-80, vmax=0, **box)
        spectrum.set_ylim(0, min(8, sampling_rate / 2000))
        image = draw_image(cepstrum, images[emotion], end, extent)
        cepstrum.set_xlabel("time (s)")
    for row, name in zip(axes, ("amplitude", "frequency (kHz)", "MFCC"), strict=True):
        row[0].set_ylabel(name)
    figure.colorbar(loud, ax=axes[1], label="dB", pad=0.01, aspect=12)
    figure.colorbar(image, ax=axes[2], label="value", pad=0.01, aspect=12)
    return figure


def draw_image(ax: Axes, rows: np.ndarray, end: float, extent: float | None = None) -> AxesImage:
    """Draw rows of numbers from beginning to end, red above zero and blue below."""
    extent = extent or np.quantile(np.abs(rows), 0.99) or 1.0
    box = {"extent": (0, end, 0.5, len(rows) + 0.5), "vmin": -extent, "vmax": extent}
    return ax.imshow(rows, origin="lower", cmap="RdBu_r", **box)


@styled
def class_balance(manifest: pd.DataFrame) -> Figure:
    """Count utterances per emotion, a panel per corpus; a dashed line marks perfect balance."""
    parts = list(manifest.groupby("corpus", sort=False)["emotion"])
    colours = colours_of(sorted(manifest["emotion"].unique()))
    tallest = max(part.nunique() for _, part in parts)
    figure, axes = panels(1, len(parts), 3.3, 0.9 + 0.32 * tallest)
    for ax, (corpus, part) in zip(axes[0], parts, strict=True):
        counts = part.value_counts().sort_index()
        bars = ax.barh(counts.index, counts, color=[*map(colours.get, counts.index)], height=0.75)
        ax.axvline(counts.mean(), color="black", ls="--", lw=1)
        for text in ax.bar_label(bars, padding=3, fontsize=9):
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.tick_params(axis="y", length=0)
        ax.set(title=f"{name_of(corpus)} (n = {counts.sum()})", xlabel="utterances")
    return figure


@styled
def normalisation_effect(
    values: Mapping[str, ArrayLike], manifest: pd.DataFrame, by: str = "speaker", column: int = 1
) -> Figure:
    """Show what a normalisation does to MFCC 1: its mean per utterance, by speaker or corpus.

    Parameters
    ----------
    values
        Kind of normalisation -> features, shape (utterances, frames, coefficients).
    manifest
        A row per utterance.
    by
        ``"speaker"`` or ``"corpus"``: a box each.
    column
        Which of the coefficients is MFCC 1; see `features.FeatureSettings.column_of`.
    """
    groups = manifest[by].map(name_of).to_numpy(str)
    names = sorted(set(groups))
    figure, axes = panels(1, len(values), max(2.4, 0.24 * len(names) + 1), 3.2)
    for ax, (kind, array) in zip(axes[0], values.items(), strict=True):
        level = array[:][:, :, column].mean(axis=1)
        look = {"fliersize": 2, "linewidth": 0.8, "order": names, "color": BLUE, "ax": ax}
        seaborn.boxplot(x=groups, y=level, boxprops={"alpha": 0.45}, **look)
        if np.ptp(level) < 0.01:  # what is left is rounding: do not blow it up
            ax.set_ylim(-1, 1)
        ax.tick_params(axis="x", rotation=90 if len(names) > 4 else 30)
        ax.grid(axis="y")
        ax.set(title=kind, xlabel=by, ylabel="")
    axes[0][0].set_ylabel("MFCC 1, mean per utterance")
    return figure


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
        shares = 100 * rows[emotions].to_numpy(float)
        if len(rows) == 1:
            ax.bar(emotions, shares[0], color=colours_of(emotions).values())
            ax.set(ylabel="probability %", ylim=(0, 100))
        else:
            middle = rows[["start", "end"]].mean(axis=1).to_numpy()
            edges = [rows["start"].min(), *(middle[1:] + middle[:-1]) / 2, rows["end"].max()]
            rows_of = np.arange(len(emotions) + 1) - 0.5
            drawn = ax.pcolormesh(edges, rows_of, shares.T, cmap="Blues", vmin=0, vmax=100)
            ax.set_yticks(range(len(emotions)), emotions)
            ax.set(xlabel="time (s)")
            ax.invert_yaxis()
            figure.colorbar(drawn, ax=ax, label="probability %")
        ax.set(title=str(file).rsplit("/", 1)[-1])
    return figure
