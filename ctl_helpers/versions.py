"""Versions of installed packages, looked up without importing them."""

from functools import lru_cache
from importlib import metadata


@lru_cache
def version_of(*packages: str) -> str:
    """Version of the first of some packages that is installed; empty where none is.

    Examples
    --------
    >>> version_of("no-such-package")
    ''
    """
    for package in packages:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return ""
