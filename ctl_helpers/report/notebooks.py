"""Notebooks as pages of a report: what they keep and show, and how a batch executes them."""

import copy
import hashlib
import html
import json
import logging
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ctl_helpers.corpora import SYNTHETIC
from ctl_helpers.parallel import cores, environment, parallel_map
from ctl_helpers.plugins import STUDY_FOLDER
from ctl_helpers.report import cells
from ctl_helpers.report.markup import template
from ctl_helpers.runs.store import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PACKAGE = Path(__file__).resolve().parents[1]
NOTEBOOKS = PACKAGE.parent / "notebooks"
_MOST_NAMED = 10  # run folders that a table's note lists; more are counted
_LONGEST = 40  # letters of a word in a file's name
_IN_A_KERNEL = 6  # notebooks, at most
_INCHES = 96  # pixels of an inch on the screen
_ABOUT = re.compile('<main data-about="([^"]*)">')


def page_name(notebook: str, words: Iterable[object] = ()) -> str:
    """Return the name, without ending, of all files that an executed notebook leaves.

    Parameters
    ----------
    notebook : str
        Name of the notebook.
    words : iterable
        What sets it apart from the others of its kind, such as corpus, recipe and protocol; empty
        ones and None are left out.

    Examples
    --------
    >>> page_name("2_cpac_kfold", ["emodb", "modern", "kfold", None])
    '2_cpac_kfold-emodb-modern-kfold'
    >>> page_name("2_cpac_kfold", ["a/b"])
    '2_cpac_kfold-a_b~c14cdd'
    """
    parts = [notebook]
    for word in filter(None, map(str, filter(None, words))):
        plain = re.sub(r"[^\w.+]", "_", word, flags=re.ASCII).lstrip(".")[:_LONGEST] or "_"
        mark = hashlib.sha256(word.encode()).hexdigest()[:6]
        parts.append(plain if plain == word else f"{plain}~{mark}")
    return "-".join(parts)


@dataclass(frozen=True)
class Page:
    """Where a notebook's figures and tables are kept.

    Parameters
    ----------
    out : path
        The report's folder; ``figures/`` and ``tables/`` are made in it.
    name : str
        First part of the names of all files; see `page_name`.
    synthetic : bool
        Whether the speech is, which every table of scores has to say.
    """

    out: Path
    name: str
    synthetic: bool = False

    def figure(self, figure: "Figure", name: str):
        """Keep a figure as PNG and SVG, and hand the picture back to be shown."""
        from IPython.display import Image

        from ctl_helpers.report import figures

        folder = Path(self.out) / "figures"
        png, _ = figures.save_figure(figure, folder, page_name(self.name, name.split("-")))
        width = int(figure.get_figwidth() * _INCHES)
        return Image(data=png.read_bytes(), format="png", embed=True, width=width, alt=name)

    def table(
        self,
        frame: pd.DataFrame,
        name: str,
        caption: str,
        runs: Iterable[str] = (),
        note: str = "",
        digits: int = 1,
    ):
        """Keep a table as CSV, Markdown and LaTeX, and hand it back to be shown.

        Parameters
        ----------
        frame : DataFrame
            See `cells.as_table`.
        name, caption : str
            Last part of the files' names; what stands above the table.
        runs : iterable of str
            Run folders that its numbers come from; the note names them.
        note : str
            What else the note says.
        digits : int
            Decimals of scores.
        """
        from IPython.display import HTML

        scored = named_runs(runs)
        parts = [SYNTHETIC if self.synthetic and scored else "", note, scored]
        table = cells.as_table(frame, caption, " ".join(filter(None, parts)), digits)
        name = page_name(self.name, name.split("-"))
        cells.write_table(frame, table, Path(self.out) / "tables", name)
        return HTML(table.html())


def listed(*sentences: str):
    """Show sentences as a list."""
    from IPython.display import Markdown

    return Markdown("\n".join(f"- {sentence}" for sentence in sentences if sentence))


def named_runs(runs: Iterable[str]) -> str:
    """Say in a sentence which run folders numbers come from."""
    names = sorted(set(runs))
    if not names:
        return ""
    if len(names) > _MOST_NAMED:
        return f"{len(names)} run folders; tables/4_result_tables-runs.csv lists them."
    return f"Run folder{'s' * (len(names) > 1)}: {', '.join(names)}."


@dataclass(frozen=True)
class Notebook:
    """One notebook of a study, with its parameters.

    Parameters
    ----------
    notebook : str
        Name of the notebook that is executed, without its ending.
    words : sequence of str
        What sets it apart from others of its kind; see `page_name`.
    title : str
        What the index page calls it.
    parameters : dict
        Of its cell tagged ``parameters``; JSON.
    inputs : sequence of str
        What it reads besides: run folders, keys of features.
    folder : Path
        Where the notebook lies.
    """

    notebook: str
    words: Sequence[str]
    title: str
    parameters: dict
    inputs: Sequence[str] = ()
    folder: Path = NOTEBOOKS

    @property
    def name(self) -> str:
        """Name of the executed notebook."""
        return page_name(self.notebook, self.words)

    @property
    def source(self) -> Path:
        """The notebook that is executed."""
        return self.folder / f"{self.notebook}.ipynb"

    def files(self, out: str | Path) -> tuple[Path, Path]:
        """Return where the executed notebook and its page are, or will be."""
        folder = Path(out) / "notebooks"
        return folder / f"{self.name}.ipynb", folder / f"{self.name}.html"

    def key(self) -> str:
        """Hash of all that the executed notebook depends on: parameters, inputs, code."""
        read = json.dumps([self.title, self.parameters, sorted(self.inputs)], sort_keys=True)
        return hashlib.sha256(read.encode() + code_hash() + self.source.read_bytes()).hexdigest()

    def is_done(self, out: str | Path) -> bool:
        """Whether the executed notebook and its page are there, made from the same."""
        notebook, page = self.files(out)
        return notebook.is_file() and read_about(page).get("key") == self.key()


def read_about(page: Path) -> dict:
    """Read what the page of an executed notebook says of it: notebook, title, key; else nothing."""
    try:
        said = _ABOUT.findall(page.read_text(encoding="utf-8"))
        about = json.loads(html.unescape(said[0]))
        return {name: about[name] for name in ("notebook", "title", "key")}
    except (OSError, ValueError, LookupError, TypeError):  # no page of a study's notebook
        return {}


@cache
def code_hash() -> bytes:
    """Hash of the package's source and data."""
    found = hashlib.sha256()
    kinds = ("*.py", "*.toml", "*.csv", "templates/*")
    for path in sorted(path for kind in kinds for path in PACKAGE.rglob(kind)):
        found.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return found.digest()


def execute(notebooks: Sequence[Notebook], out: str | Path) -> list[str]:
    """Execute notebooks one after the other and make their pages, each whole or not at all.

    They share a kernel, emptied in between, so that it starts and imports packages only once.

    Parameters
    ----------
    notebooks : sequence of Notebook
        Which notebooks with which parameters.
    out : path
        The report's folder, from which notebooks are run; it gets ``notebooks/*.ipynb`` and
        ``.html``. A notebook that fails leaves neither, nor those of an earlier time.

    Returns
    -------
    list of str
        Of each notebook a line that says what went wrong, or "".

    Raises
    ------
    StudyError
        If the report's folder cannot be written.
    """
    from nbformat.v4 import new_code_cell, new_notebook

    empty = new_notebook(cells=[new_code_cell("get_ipython().reset()")])
    said: list[str] = []
    with environment(**_for_kernels()), ExitStack() as stack:
        try:
            client = _started(empty, out, stack)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            return [f"notebook {one.name}: its kernel did not start: {reason}" for one in notebooks]
        for notebook in notebooks:
            said.append(_execute_one(notebook, Path(out), client))
            if said[-1]:  # nobody knows what is left of the kernel
                break
            client.nb = empty
            _run(client)
    return said + (execute(notebooks[len(said) :], out) if len(said) < len(notebooks) else [])


def _started(empty, out: str | Path, stack: ExitStack):
    """Start a kernel; a second time where it does not answer, as if another took its ports."""
    from nbclient import NotebookClient

    def start():
        quiet = ["--IPKernelApp.log_level=50"]
        client = NotebookClient(empty, extra_arguments=quiet, record_timing=False)
        stack.enter_context(client.setup_kernel(cwd=str(out)))
        return client

    try:
        return start()
    except RuntimeError:
        return start()


def execute_in_parallel(
    notebooks: Sequence[Notebook], out: str | Path, jobs: int | None
) -> list[str]:
    """Execute notebooks on several cores; return the lines of those that failed."""
    workers = jobs or cores()
    count = workers * -(-len(notebooks) // (workers * _IN_A_KERNEL))
    batches = [batch for i in range(count) if (batch := notebooks[i::count])]
    said = parallel_map(partial(execute, out=out), batches, jobs, "notebooks", unit="batch")
    return [line for lines in said for line in lines if line]


def _execute_one(notebook: Notebook, out: Path, client) -> str:
    import nbformat
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    written, page = notebook.files(out)
    before = written.stat().st_mtime if written.is_file() else 0.0
    try:
        about = {"key": notebook.key(), "notebook": notebook.notebook, "title": notebook.title}
        opened = load_notebook_node(str(notebook.source))
        if not notebook.parameters.get("method", "cpac").startswith("cpac"):  # cells about CPAC
            opened.cells = [cell for cell in opened.cells if "cpac" not in cell.metadata.tags]
        client.nb = done = parameterize_notebook(opened, notebook.parameters)
        for number, cell in enumerate(done.cells):
            cell["id"] = f"cell-{number}"  # papermill draws one for the parameters
            cell.metadata.pop("papermill", None)
        _run(client)
        # What a slow kernel prints arrives in pieces.
        done, _ = CoalesceStreamsPreprocessor(enabled=True).preprocess(done, {})
    except Exception as error:  # whatever happens in a notebook costs that notebook alone
        for path in (written, page):
            path.unlink(missing_ok=True)
        return f"notebook {notebook.name}: {_in_a_line(error)}"
    done.metadata.pop("papermill")
    write_text(written, nbformat.writes(done) + "\n")
    write_text(page, to_page(done, about))
    _remove_older(notebook.name, out, before)
    return ""


def _remove_older(name: str, out: Path, before: float) -> None:
    """Remove figures and tables that a notebook made earlier, and now not any more.

    All that it made is older than what it then left, which is of the time ``before``. What belongs
    to a page of a longer name, as ``emodb-modern-loso`` beside ``emodb-modern``, stays.
    """
    pages = [path.stem for path in (out / "notebooks").glob(f"{name}-*.ipynb")]
    for path in (*(out / "figures").glob(f"{name}-*"), *(out / "tables").glob(f"{name}-*")):
        if not any(path.name.startswith(f"{page}-") for page in pages):
            with suppress(OSError):
                if path.stat().st_mtime <= before:
                    path.unlink()


def _run(client) -> None:
    client.reset_execution_trackers()
    for index, cell in enumerate(client.nb.cells):
        client.execute_cell(cell, index, execution_count=client.code_cells_executed + 1)


def _in_a_line(error: Exception) -> str:
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    if isinstance(error, DeadKernelError):
        return "its kernel died; was there enough memory?"
    if isinstance(error, CellExecutionError):
        return f"{error.ename}: {error.evalue}".strip().splitlines()[0]
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _for_kernels() -> dict[str, str]:
    """Give a kernel this package, no progress bars and a quiet backend."""
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "CTL_PROGRESS": "0",
        STUDY_FOLDER: os.getcwd(),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",  # notebooks run side by side; more only wait for each other
        "PYTHONWARNINGS": "ignore:IProgress",  # tqdm, of widgets that nobody asked for
    }


def to_page(notebook, about: Mapping[str, str]) -> str:
    """Make a page that needs nothing else: nbconvert's own would bring 300 kB of styles, each."""
    from markupsafe import Markup
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    notebook = copy.deepcopy(notebook)
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    if any("injected-parameters" in some for some in tags):  # they take the place of the defaults
        kept = zip(notebook.cells, tags, strict=True)
        notebook.cells = [cell for cell, some in kept if "parameters" not in some]
    logging.getLogger("traitlets").setLevel(logging.ERROR)
    left_out = {"exclude_input_prompt": True, "exclude_output_prompt": True}
    exporter = HTMLExporter(template_name="basic", **left_out)
    with warnings.catch_warnings(action="ignore"):
        body = exporter.from_notebook_node(notebook)[0]
    styles = (HtmlFormatter(style=name) for name in ("default", "github-dark"))
    light, dark = (Markup(style.get_style_defs(".highlight")) for style in styles)
    synthetic = SYNTHETIC if SYNTHETIC in body else ""
    said = {"title": about["title"], "about": json.dumps(about), "synthetic": synthetic}
    return template("notebook.html").render(said, body=Markup(body), light=light, dark=dark)
