"""All runs of a report as notebook 4 shows them."""

from dataclasses import dataclass
from pathlib import Path

from ctl_helpers.corpora import SYNTHETIC
from ctl_helpers.report import cells
from ctl_helpers.report.findings import Findings, findings
from ctl_helpers.report.notebooks import Page, listed
from ctl_helpers.results.naming import RULES
from ctl_helpers.runs.store import RunStore
from ctl_helpers.study.pages import TABLES


@dataclass(frozen=True, eq=False)
class OpenedReport:
    """All runs of a report.

    Parameters
    ----------
    page : Page
        Where figures and tables are kept.
    found : Findings
        The report's runs, tables and sentences.
    store : RunStore
        Where the runs are.
    """

    page: Page
    found: Findings
    store: RunStore
    rule = RULES["verdict"]

    def sources(self):
        """List where the published numbers come from, those that are shown."""
        shown = self.found.scores[self.found.scores["citation"] != ""]
        return listed(*cells.notes_of(shown) or ["No published number stands in this report."])

    def seen(self):
        """Say in sentences what was seen."""
        return listed(*self.found.sentences())


def open_report(out: str = "reports") -> OpenedReport:
    """Open all runs of a report, the folder ``out``, for a notebook."""
    found = findings(out)
    if found.synthetic:
        print(SYNTHETIC)
    page = Page(Path(out), TABLES, found.synthetic)
    return OpenedReport(page, found, RunStore(Path(out) / "runs"))
