"""Small synthetic corpora."""

from pathlib import Path

MARKER = "MINIATURE.txt"


def is_miniature(root: str | Path) -> bool:
    """Whether a folder of corpora, or of one corpus, was made by :func:`make_miniature`."""
    root = Path(root)
    return any((folder / MARKER).is_file() for folder in (root, root.parent))


def make_miniature(root: str | Path | None = None, seed: int = 0) -> Path:
    """Make the miniature corpora."""
    raise NotImplementedError
