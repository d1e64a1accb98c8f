"""Figures that explain features: an MFCC step by step, what pitch and moments add.

Each is drawn from arrays that are computed in the plainest way there is, so that a reader can
follow them in a few lines.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.fft
from matplotlib.figure import Figure

from ctl_helpers.features import PRESETS, FeatureSettings
from ctl_helpers.report.figures.speech import draw_image
from ctl_helpers.report.figures.style import BLUE, GREY, ORANGE, panels, styled

_ENVELOPE = 13  # coefficients whose smooth curve is drawn over the mel bands


class Steps(NamedTuple):
    """The MFCC of one utterance, with every step on the way.

    Parameters
    ----------
    pieces : ndarray of shape (frames, n_fft)
        The waveform, cut into overlapping pieces.
    window : ndarray of shape (n_fft,)
        What each piece is multiplied by.
    power : ndarray of shape (frames, bins)
        Power spectra.
    mel : ndarray of shape (bands, bins)
        The mel filters.
    decibels : ndarray of shape (frames, bands)
        Power in each mel band, in dB.
    coefficients : ndarray of shape (frames, n_mfcc)
        The MFCC.
    """

    pieces: np.ndarray
    window: np.ndarray
    power: np.ndarray
    mel: np.ndarray
    decibels: np.ndarray
    coefficients: np.ndarray


def mfcc_steps(signal: np.ndarray, settings: FeatureSettings) -> Steps:
    """Compute MFCC step by step, as librosa does.

    Parameters
    ----------
    signal : ndarray of shape (samples,)
        At ``settings.sampling_rate``.
    settings : FeatureSettings
        Of plain MFCC.

    Returns
    -------
    Steps

    Examples
    --------
    >>> import librosa
    >>> signal = librosa.tone(440, sr=22_050, length=22_050)
    >>> theirs = librosa.feature.mfcc(y=signal, sr=22_050, n_mfcc=39).T
    >>> np.allclose(mfcc_steps(signal, PRESETS["released"]).coefficients, theirs, atol=1e-3)
    True
    """
    import librosa

    window = librosa.filters.get_window(settings.window, settings.win_length)
    window = librosa.util.pad_center(window, size=settings.n_fft)
    padded = np.pad(np.asarray(signal, float), settings.n_fft // 2)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, settings.n_fft)
    pieces = pieces[:: settings.hop_length]
    power = np.abs(np.fft.rfft(pieces * window)) ** 2
    mel = librosa.filters.mel(sr=settings.sampling_rate, n_fft=settings.n_fft)
    decibels = librosa.power_to_db(power @ mel.T)
    coefficients = scipy.fft.dct(decibels, norm="ortho")[:, : settings.n_mfcc]
    return Steps(pieces, window, power, mel, decibels, coefficients)


@styled
def mfcc_step_by_step(
    signal: np.ndarray, settings: FeatureSettings, frame: int | None = None
) -> Figure:
    """Draw how one frame of a waveform becomes a column of MFCC, in six panels.

    Parameters
    ----------
    signal, settings
        As for `mfcc_steps`.
    frame
        The frame to look at; the loudest by default.
    """
    import librosa

    steps, rate, length = mfcc_steps(signal, settings), settings.sampling_rate, settings.n_fft
    t = steps.power.sum(axis=1).argmax() if frame is None else frame
    figure, ((wave, piece, spectrum), (bands, column, image)) = panels(2, 3, 3.5, 2.7)
    centre, half = t * settings.hop_length / rate, settings.win_length / rate / 2
    wave.plot(np.arange(len(signal)) / rate, signal, lw=0.4, color=BLUE)
    wave.axvspan(centre - half, centre + half, color=ORANGE, alpha=0.45, lw=0)
    wave.set(title="1  take a frame", xlabel="time (s)", ylabel="amplitude")
    frame, times = steps.pieces[t], 1000 * (np.arange(length) - length / 2) / rate
    piece.plot(times, frame, lw=0.5, color=GREY, label="frame")
    window = steps.window * np.abs(frame).max()
    piece.plot(times, window, color="black", lw=1, ls="--", label="window")
    piece.plot(times, frame * steps.window, lw=0.7, color=ORANGE, label="product")
    piece.set(title="2  fade its ends: a window", xlabel="time in the frame (ms)")
    piece.legend(loc="lower right", ncols=3, fontsize=7.5, columnspacing=0.8, handlelength=1.2)
    kilohertz = np.arange(steps.power.shape[1]) * rate / length / 1000
    spectrum.plot(kilohertz, librosa.power_to_db(steps.power[t]), lw=0.7, color=ORANGE)
    spectrum.set(title="3  power of each frequency", xlabel="frequency (kHz)", ylabel="dB")
    filters = spectrum.twinx()
    filters.plot(kilohertz, steps.mel[::8].T / steps.mel.max(), lw=0.7, color=BLUE, alpha=0.6)
    filters.set(ylim=(0, 4), yticks=[], xlim=(0, 5))
    values = steps.coefficients[t]
    kept = values[:_ENVELOPE]
    smooth = scipy.fft.idct(kept, n=len(steps.mel), norm="ortho")
    bands.plot(steps.decibels[t], lw=1, color=ORANGE, label=f"{len(steps.mel)} mel bands")
    bands.plot(smooth, color="black", lw=1.3, label=f"what {len(kept)} coefficients keep")
    bands.set(title="4  sum over mel filters, logarithm", xlabel="mel band", ylabel="dB")
    bands.legend(loc="lower left", fontsize=7.5)
    column.bar(np.arange(1, len(values)), values[1:], color=ORANGE)
    column.set(title="5  cosine transform: MFCC", xlabel=f"coefficient (0 is {values[0]:.0f})")
    draw_image(image, steps.coefficients[:, 1:].T, len(signal) / rate)
    image.axvline(centre, color="black", lw=1)
    image.set(title="6  frame by frame: an image", xlabel="time (s)", ylabel="coefficient")
    return figure


@styled
def pitch_and_moments(signal: np.ndarray) -> Figure:
    """Draw one utterance, of samples at 22 050 Hz, as its pitch, as plain MFCC and as moments."""
    from ctl_helpers.features.mfcc import mfcc

    pitch, released, moments = (
        mfcc(signal, replace(PRESETS[name], samples=None, trim=None))[0].T
        for name in ("pitch", "released", "moments")
    )
    figure, ((melody, *images),) = panels(1, 3, 3.4, 2.8)
    seconds = len(signal) / PRESETS["pitch"].sampling_rate
    times, hertz = np.linspace(0, seconds, pitch.shape[1]), 2 ** pitch[1]
    voiced = hertz[pitch[0] > 0.5] if (pitch[0] > 0.5).any() else hertz
    dots = melody.scatter(times, hertz, c=pitch[0], cmap="Blues", vmin=0, vmax=1, s=14)
    figure.colorbar(dots, ax=melody, label="how voiced", pad=0.02)
    limits = (0.8 * voiced.min(), 1.2 * voiced.max())
    melody.set(title="pitch", xlabel="time (s)", ylabel="Hz", ylim=limits)
    melody.grid()
    blocks = [block / np.abs(block).max() for block in np.split(moments, 3)]
    shown = {"released": released[1:], "moments": np.concatenate(blocks)}
    for ax, (name, image) in zip(images, shown.items(), strict=True):
        draw_image(ax, image, seconds)
        ax.set(title=f"features: {name}", xlabel="time (s)", ylabel="row of the image")
    return figure
