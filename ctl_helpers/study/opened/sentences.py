"""What a notebook says: sentences as a list, and first that speech is synthetic."""

from pathlib import Path

from IPython.display import Markdown

from ctl_helpers.corpora import SYNTHETIC, is_miniature
from ctl_helpers.study.plan import open_corpora
from ctl_helpers.study.settings import Study


def listed(*sentences: str):
    """Show sentences as a list."""
    return Markdown("\n".join(f"- {sentence}" for sentence in sentences if sentence))


def root_of(study: Study) -> tuple[Path, bool]:
    """Find the corpora of a study, and say first if their speech is synthetic."""
    root, _ = open_corpora(study)
    if is_miniature(root):
        print(SYNTHETIC)
    return root, is_miniature(root)
