"""Figures of corpora and features."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.signal import spectrogram

from ctl_helpers.report.figures.style import BLUE, colour_of, panels, styled
from ctl_helpers.results.naming import name_of


def one_per_emotion(manifest: pd.DataFrame) -> pd.DataFrame:
    """Pick one utterance per emotion, of one speaker and one sentence as far as that goes.

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
    signals: Mapping[str, ArrayLike],
    coefficients: Mapping[str, ArrayLike],
    sampling_rate: int,
    title: str = "",
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
    title
        Of the figure.
    """
    emotions = list(signals)
    figure, axes = panels(
        3, len(emotions), max(1.9, 9 / len(emotions)), 1.9, sharex="col", sharey="row"
    )
    arrays = [np.asarray(signal, np.float32) for signal in signals.values()]
    images = [np.asarray(coefficients[emotion]).T[1:] for emotion in emotions]
    peak = max(np.abs(signal).max() for signal in arrays) or 1.0
    extent = np.quantile(np.abs(np.concatenate(images, axis=1)), 0.99)
    for column, (emotion, signal) in enumerate(zip(emotions, arrays, strict=True)):
        seconds = len(signal) / sampling_rate
        wave, spectrum, cepstrum = (axes[row][column] for row in range(3))
        times = np.arange(len(signal)) / sampling_rate
        wave.plot(times, signal, lw=0.4, color=colour_of(emotion, column))
        wave.set(title=emotion, xlim=(0, seconds), ylim=(-peak, peak))
        _spectrogram(spectrum, signal, sampling_rate)
        image = cepstrum.imshow(
            images[column],
            **{"origin": "lower", "cmap": "RdBu_r", "vmin": -extent, "vmax": extent},
            extent=(0, seconds, 0.5, len(images[column]) + 0.5),
        )
        cepstrum.set(xlabel="time (s)")
    axes[0][0].set_ylabel("amplitude")
    axes[1][0].set_ylabel("frequency (kHz)")
    axes[2][0].set_ylabel("MFCC")
    decibels = axes[1][-1].images[0]
    figure.colorbar(decibels, ax=axes[1], label="dB", pad=0.01, aspect=12)
    figure.colorbar(image, ax=axes[2], label="value", pad=0.01, aspect=12)
    figure.suptitle(title)
    return figure


def _spectrogram(ax: Axes, signal: np.ndarray, sampling_rate: int) -> None:
    """Draw power in dB below the loudest, up to 8 kHz, in windows of 32 ms."""
    width = min(len(signal), int(0.032 * sampling_rate))
    _, _, power = spectrogram(signal, sampling_rate, nperseg=width, noverlap=3 * width // 4)
    decibels = 10 * np.log10(np.maximum(power, 1e-12) / max(power.max(), 1e-12))
    nyquist = sampling_rate / 2000
    extent = (0, len(signal) / sampling_rate, 0, nyquist)
    ax.imshow(decibels, origin="lower", cmap="magma", extent=extent, vmin=-80, vmax=0)
    ax.set_ylim(0, min(8, nyquist))


@styled
def durations(manifest: pd.DataFrame, lengths: Mapping[str, float] | None = None) -> Figure:
    """Show how long utterances are, per emotion, a panel per corpus.

    Parameters
    ----------
    manifest
        With columns corpus, emotion, duration (s).
    lengths
        Corpus -> length in seconds that signals are padded or cropped to: a dashed line.
    """
    corpora = list(manifest["corpus"].unique())
    widest = manifest.groupby("corpus")["emotion"].nunique().max()
    figure, axes = panels(1, len(corpora), max(3.0, 0.62 * widest), 3.4, sharey=True)
    for ax, corpus in zip(axes[0], corpora, strict=True):
        part = manifest[manifest["corpus"] == corpus].sort_values("emotion")
        colours = {name: colour_of(name, i) for i, name in enumerate(part["emotion"].unique())}
        drawn = {"x": "emotion", "y": "duration", "hue": "emotion", "palette": colours, "ax": ax}
        seaborn.violinplot(part, inner="box", cut=0, linewidth=0.8, legend=False, **drawn)
        if lengths and corpus in lengths:
            words = f"cut or padded to {lengths[corpus]:.1f} s"
            ax.axhline(lengths[corpus], color="black", ls="--", lw=1, label=words)
            ax.legend(loc="upper left")
        ax.set(title=f"{name_of(corpus)} (n = {len(part)})", xlabel="", ylabel="duration (s)")
        ax.tick_params("x", rotation=45)
        ax.grid(axis="y")
    top = max(manifest["duration"].max(), *(lengths or {"": 0.0}).values())
    axes[0][0].set_ylim(0, 1.15 * top)  # room for the legend; the axis is shared
    return figure


@styled
def class_balance(manifest: pd.DataFrame) -> Figure:
    """Count utterances per emotion, a panel per corpus; a dashed line marks perfect balance."""
    corpora = list(manifest["corpus"].unique())
    tallest = manifest.groupby("corpus")["emotion"].nunique().max()
    figure, axes = panels(1, len(corpora), 3.3, 0.9 + 0.32 * tallest)
    for ax, corpus in zip(axes[0], corpora, strict=True):
        counts = manifest.loc[manifest["corpus"] == corpus, "emotion"].value_counts().sort_index()
        colours = [colour_of(emotion, i) for i, emotion in enumerate(counts.index)]
        bars = ax.barh(counts.index, counts, color=colours, height=0.75)
        ax.axvline(counts.mean(), color="black", ls="--", lw=1)
        for text in ax.bar_label(bars, padding=3, fontsize=9):
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.tick_params(axis="y", length=0)
        ax.set(title=f"{name_of(corpus)} (n = {counts.sum()})", xlabel="utterances")
    return figure


@styled
def feature_statistics(values: np.ndarray, manifest: pd.DataFrame, title: str = "") -> Figure:
    """Show what sets emotions apart in the MFCC: per coefficient, each emotion's mean and spread.

    Parameters
    ----------
    values
        Shape (utterances, frames, coefficients).
    manifest
        A row per utterance.
    title
        Of the figure.

    Notes
    -----
    Left: mean over frames, then over the emotion's utterances, as a distance from the mean over all
    utterances in units of their standard deviation. Right: the same of the deviation over frames.
    """
    figure, axes = panels(1, 2, 5.2, 3.4, sharex=True)
    emotions = manifest["emotion"].to_numpy(str)
    statistics = {"mean over time": values.mean(axis=1), "variation over time": values.std(axis=1)}
    for ax, (name, table) in zip(axes[0], statistics.items(), strict=True):
        spread = table.std(axis=0)
        scores = (table - table.mean(axis=0)) / np.where(spread > 0, spread, 1)
        for position, emotion in enumerate(np.unique(emotions)):
            ax.plot(
                scores[emotions == emotion].mean(axis=0),
                **{"color": colour_of(emotion, position), "lw": 1.4, "label": emotion},
            )
        ax.axhline(0, color="black", lw=0.8)
        ax.grid()
        ax.margins(x=0.01)
        ax.set(title=name, xlabel="coefficient")
    axes[0][0].set_ylabel("standard deviations from all")
    axes[0][1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(title)
    return figure


@styled
def normalisation_effect(
    values: Mapping[str, ArrayLike],
    manifest: pd.DataFrame,
    by: str = "speaker",
    coefficient: int = 1,
) -> Figure:
    """Show what a normalisation does to one coefficient: its level per speaker or corpus.

    Parameters
    ----------
    values
        Kind of normalisation -> features, shape (utterances, frames, coefficients).
    manifest
        A row per utterance.
    by
        ``"speaker"`` or ``"corpus"``: a box each.
    coefficient
        Which MFCC; its mean over the frames of an utterance is shown.
    """
    groups = manifest[by].map(name_of).to_numpy(str)
    names = sorted(set(groups))
    figure, axes = panels(1, len(values), max(2.4, 0.24 * len(names) + 1), 3.2)
    for ax, (kind, array) in zip(axes[0], values.items(), strict=True):
        level = array[:][:, :, coefficient].mean(axis=1)
        look = {"fliersize": 2, "linewidth": 0.8, "order": names, "color": BLUE, "ax": ax}
        seaborn.boxplot(x=groups, y=level, boxprops={"alpha": 0.45}, **look)
        if np.ptp(level) < 0.01:  # what is left is rounding: do not blow it up
            ax.set_ylim(-1, 1)
        ax.tick_params(axis="x", rotation=90 if len(names) > 4 else 30)
        ax.grid(axis="y")
        ax.set(title=kind, xlabel=by, ylabel="")
    axes[0][0].set_ylabel(f"MFCC {coefficient}, mean per utterance")
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
