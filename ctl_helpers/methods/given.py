"""Given predictions: those of another tool, put beside ours on the same splits."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.errors import StudyError
from ctl_helpers.methods.outcome import Outcome
from ctl_helpers.protocols import Problem


@dataclass(frozen=True)
class GivenMethod:
    """Predictions of another tool.

    Parameters
    ----------
    file : str
        A CSV with the column ``utterance`` (the path below the corpus's folder), a column
        ``p_<emotion>`` per emotion (or ``predicted`` alone), and ``corpus`` and ``split`` where an
        utterance is predicted more than once.
    """

    file: str

    kind = "given"
    selection = "last"
    seeded = False
    features = ()
    members = ()

    @property
    def name(self) -> str:
        """The file's name."""
        return f"given:{Path(self.file).name}"

    @property
    def label(self) -> str:
        """What a study names it by."""
        return f"given:{self.file}"

    @cached_property
    def table(self) -> pd.DataFrame:
        """The predictions, text but for the probabilities."""
        try:
            table = pd.read_csv(self.file, dtype={"utterance": str, "split": str, "corpus": str})
        except (OSError, ValueError) as error:
            raise StudyError(f"{self.label}: expected a CSV table, got: {error}") from error
        if "utterance" not in table or not (
            "predicted" in table or table.filter(regex="^p_").shape[1]
        ):
            raise StudyError(
                f"{self.label}: expected the columns utterance and p_<emotion> (or predicted), got "
                f"{', '.join(map(str, table.columns))}"
            )
        return table

    def suits(self, problem: Problem) -> bool:
        """Whether the file has predictions for some of the problem's corpus."""
        tested = set(problem.manifest["corpus"].iloc[problem.test])
        return "corpus" not in self.table or bool(tested & set(self.table["corpus"]))

    def spec(self) -> dict:
        """Describe the method for a run's specification, JSON."""
        try:
            content = hashlib.blake2b(Path(self.file).read_bytes(), digest_size=12).hexdigest()
        except OSError as error:
            raise StudyError(f"{self.label}: expected a CSV table, got: {error}") from error
        recipe = {"name": "", "normalisation": "", "content": content}
        return {"name": self.name, "kind": self.kind, "recipe": recipe}

    def versions(self) -> dict[str, str]:
        """Give no versions: nothing is computed."""
        return {}

    def work(self, problem: Problem) -> float:
        """Nothing to speak of."""
        return 0.0

    def run(
        self, problem: Problem, seed: int, folder: Path, members: Sequence[np.ndarray] = ()
    ) -> Outcome:
        """Look the predictions of the test part up."""
        table = self.table
        if "split" in table:
            table = table[table["split"] == problem.split]
        if "corpus" in table:
            table = table[table["corpus"].isin(problem.manifest["corpus"].unique())]
        table = table.set_index("utterance")
        wanted = problem.manifest["utterance"].iloc[problem.test]
        missing = [name for name in wanted if name not in table.index]
        if missing or table.index.duplicated().any():
            what = f"none for {missing[0]}" if missing else "several for one utterance"
            raise StudyError(
                f"{self.label}, {problem.place} {problem.split}: expected a prediction for each of "
                f"{len(wanted)} utterances, got {what}"
            )
        table = table.loc[wanted]
        if "predicted" in table and f"p_{problem.classes[0]}" not in table:
            said = table["predicted"].to_numpy(str)
            if unknown := sorted(set(said) - set(problem.classes)):
                raise StudyError(
                    f"{self.label}: expected predictions among {', '.join(problem.classes)}, got "
                    f"{str(unknown[0])!r}"
                )
            return Outcome({"last": (said[:, None] == np.array(problem.classes)).astype(float)})
        columns = [f"p_{name}" for name in problem.classes]
        if absent := [column for column in columns if column not in table]:
            raise StudyError(f"{self.label}: expected a column {absent[0]}, found none")
        probabilities = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(float)
        if not np.isfinite(probabilities).all() or (probabilities < 0).any():
            raise StudyError(f"{self.label}: expected probabilities of 0 or more, got others")
        return Outcome({"last": probabilities})
