"""One look for all figures: fonts, colours that colour-blind readers can tell apart, saving."""

import functools
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from PIL import Image

from ctl_helpers.errors import StudyError
from ctl_helpers.runs.store import write_text

# Okabe & Ito's palette, its yellow darkened for white paper; grey for boredom.
_COLOURS = {
    **{"angry": "#D55E00", "boredom": "#999999", "calm": "#56B4E9", "disgust": "#009E73"},
    **{"fear": "#CC79A7", "happy": "#E69F00", "neutral": "#333333", "sad": "#0072B2"},
    **{"surprise": "#BDB000", "casia": "#D55E00", "emodb": "#0072B2", "savee": "#009E73"},
    **{"ravdess": "#CC79A7", "emovo": "#E69F00"},
}
MARKERS = "osD^vPX<>"
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
_SPARE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#333333", "#999999")
_OTHER_SCRIPTS = (  # fonts with letters that Matplotlib's own lacks, where they are installed
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "Source Han Sans SC"),
    *("PingFang SC", "Microsoft YaHei", "Noto Sans Arabic", "Noto Sans Devanagari"),
)
_STYLE = {
    "font.family": ["DejaVu Sans", *sorted({*_OTHER_SCRIPTS} & {*get_font_names()})],
    **{"font.size": 10, "axes.titlesize": 11, "axes.labelsize": 10, "legend.fontsize": 9},
    **{"xtick.labelsize": 9, "ytick.labelsize": 9, "figure.titlesize": 12},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.grid": False},
    **{"axes.axisbelow": True, "grid.color": "#dddddd", "grid.linewidth": 0.7},
    **{"legend.frameon": False, "lines.linewidth": 1.6, "figure.dpi": 100},
    **{"image.aspect": "auto", "figure.constrained_layout.use": True},
}
_DPI = 160


def colours_of(names: Iterable[str]) -> dict[str, str | tuple]:
    """Give emotions and corpora their fixed colours, and others colours that no name here has.

    Parameters
    ----------
    names
        What is drawn in one picture; more than there are spare colours get a wheel.

    Returns
    -------
    dict of str to str or tuple

    Examples
    --------
    >>> colours_of(["angry", "ironic"])
    {'angry': '#D55E00', 'ironic': '#0072B2'}
    """
    names = list(dict.fromkeys(names))
    fixed = {name: _COLOURS[name] for name in names if name in _COLOURS}
    others = [name for name in names if name not in fixed]
    spare: list = [colour for colour in _SPARE if colour not in fixed.values()]
    if len(others) > len(spare):
        spare = [*map(tuple, plt.get_cmap("turbo")(np.linspace(0.02, 0.98, len(others))))]
    found = fixed | dict(zip(others, spare, strict=False))
    return {name: found[name] for name in names}


def styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in this style, and return the figure closed: a notebook then shows it only once."""

    @functools.wraps(function)
    def wrapper(*arguments, **options):
        if any(isinstance(one, pd.DataFrame) and one.empty for one in arguments):
            name = function.__name__
            raise StudyError(f"figure {name}: expected rows to draw, got an empty frame")
        with plt.rc_context(_STYLE):
            figure = function(*arguments, **options)
            plt.close(figure)
        return figure

    return wrapper


def panels(
    rows: int, columns: int, width: float, height: float, **options
) -> tuple[Figure, list[list[Axes]]]:
    """Make a figure of rows x columns panels, each of width x height inches."""
    size = (columns * width, rows * height)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **options)
    return figure, axes.tolist()


def _laid_out(figure: Figure) -> dict:
    """Lay a figure out, once for all its files, and say what of it they show."""
    if engine := figure.get_layout_engine():
        figure.set_dpi(_DPI)
        engine.execute(figure)
        figure.set_layout_engine(None)  # with "none" Matplotlib would draw everything twice
    return {"dpi": _DPI, "bbox_inches": figure.get_tightbbox().padded(0.1), "facecolor": "white"}


def png_of(figure: Figure, shown: dict | None = None) -> bytes:
    """Draw a figure as PNG with 256 colours of its own: it looks the same and is much smaller."""
    drawn, small = io.BytesIO(), io.BytesIO()
    shown = shown or _laid_out(figure)
    figure.savefig(drawn, format="png", pil_kwargs={"compress_level": 1}, **shown)
    picture = Image.open(drawn).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def save_figure(figure: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write a figure as PNG and SVG; the same figure always gives the same bytes.

    Parameters
    ----------
    figure
        What to write.
    folder
        Where to; made if it is not there.
    name
        Of the files without their endings.

    Returns
    -------
    list of pathlib.Path
        The PNG and the SVG file.

    Raises
    ------
    StudyError
        If the folder cannot be written.
    """
    drawn, shown = io.BytesIO(), _laid_out(figure)
    with plt.rc_context({"svg.hashsalt": "ctl-mtnet"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None}, **shown)
    contents = {"png": png_of(figure, shown), "svg": drawn.getvalue()}
    return [write_text(Path(folder) / f"{name}.{end}", data) for end, data in contents.items()]
