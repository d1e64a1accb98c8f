"""Read the cells of a table of separated values: CSV, TSV, and what spreadsheets make of them."""

import codecs
import csv
import io
import re
from pathlib import Path

from ctl_helpers.corpora.listing import Listing


def _text(table: Path, size: int = -1, errors: str = "strict") -> tuple[str, str]:
    """Text of a table, or its start, and what separates its cells.

    That is what the first line has most of: comma, ``;``, tab or bar.
    """
    with open(table, "rb") as start:
        head = start.read(2)
    encoding = "utf-16" if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    if b"\0" in head:  # UTF-16 that does not say so
        encoding = "utf-16-be" if head.startswith(b"\0") else "utf-16-le"
    with open(table, encoding=encoding, errors=errors, newline="") as lines:
        text = lines.read(size)
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    if said := re.match("sep=(.)", first, re.IGNORECASE):  # Excel's line before the header
        return text[len(first) :], said[1]
    return text, max(",;\t|", key=first.count)


def first_rows(table: Path) -> tuple[list[str], list[str]]:
    """Header and first row of a table, however broken the rows are."""
    text, delimiter = _text(table, 2**16, "replace")
    rows = filter("".join, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    return next(rows, []), next(rows, [])


def _rows(text: str, delimiter: str, quotes: bool = True) -> list[list[str]]:
    """Cells of the rows that are not blank; csv.Error names the lines where there is none."""
    # Strict: a quote that is not closed would swallow the rows behind it.
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        strict=True,
    )
    rows, before = [], 0
    try:
        for cells in reader:
            rows += [cells] if any(map(str.strip, cells)) else []
            if rows and reader.line_num > before + 1:
                _check_cells(cells, delimiter, len(rows[0]))
            before = reader.line_num
    except csv.Error as error:
        first, last = before + 1, reader.line_num
        where = f"line {first}" if first >= last else f"lines {first} to {last}"
        raise csv.Error(f"{where}: {error}") from error
    return rows


def _check_cells(cells: list[str], delimiter: str, columns: int) -> None:
    """Raise a csv.Error where the quotes of two rows make one cell of what is between them.

    The rest of the first row and the start of the last have as many separators as one row has, and
    so has each row between them. A comma within a text has a blank behind it.
    """
    separator = re.compile(re.escape(delimiter) + "(?! )")
    for cell in cells:
        first, *others = [len(separator.findall(line)) for line in cell.splitlines()] or [0]
        if others and max(first + others[-1], *others) >= columns - 1:
            raise csv.Error("what is between two quotes holds rows")


def read_cells(table: Path, listing: Listing) -> list[list[str]]:
    """Cells of a table; of one by tabs without quoting, if only that makes rows of one length."""
    text, delimiter = _text(table)
    try:
        return _rows(text, delimiter)
    except csv.Error as error:
        plain = _rows(text, delimiter, quotes=False) if delimiter == "\t" else []
        if len(set(map(len, plain))) != 1:
            raise
        listing.note(table.name, "table", f"its quotes are read as part of the texts ({error})")
        return plain
