"""The numbers that others published, each with its source and what to know when comparing."""

import pandas as pd

from ctl_helpers.errors import StudyError

COLUMNS = [
    *("task", "method", "corpus", "source", "target", "protocol"),
    *("uar", "war", "reported_by", "citation", "note"),
]

YE, WEN = "Ye et al. 2023", "Wen et al. 2022"
README = "README of github.com/Jiaxin-Ye/TIM-Net_SER (Ye et al., ICASSP 2023)"
APPENDIX = "appendix of Wen, Ye et al., IJCAI 2022 (arXiv 2207.10644)"

SINGLE_NOTE = "10-fold, last epoch, speakers in both parts"
TRANSFER_NOTE = "5 shared emotions (chance is 20), whole target, no target labels"
SVM_NOTE = (
    "linear SVM on the features: 80 % of the labelled target trains, 20 % tests "
    "(the figures are multiples of 1/82, 1/200, 1/72)"
)

_CORPORA = ("casia", "emodb", "ravdess", "savee")
_SINGLE = {
    "GM-TCNet": ((85.50, 85.50), (86.17, 85.70), (82.78, 82.62), (75.83, 73.57)),
    "CPAC": ((88.33, 88.33), (86.92, 86.15), (81.25, 80.47), (75.63, 73.21)),
    "TIM-Net": ((91.08, 91.08), (89.19, 90.28), (90.04, 90.07), (77.26, 79.36)),
}

_MEAN = ("mean", "mean")
_TRANSFER_PAIRS = (
    *(("casia", "ravdess"), ("ravdess", "casia"), ("emodb", "ravdess")),
    *(("ravdess", "emodb"), ("savee", "ravdess"), ("ravdess", "savee"), _MEAN),
)
_TRANSFER = {
    "CDAN": (
        *((24.06, 25.00), (22.92, 24.54), (24.58, 27.20)),
        *((21.05, 31.86), (21.04, 23.38), (28.17, 25.00), (23.64, 26.16)),
    ),
    "DANN": (
        *((23.75, 25.12), (20.50, 20.50), (25.31, 27.89)),
        *((20.94, 31.86), (20.10, 22.34), (26.83, 25.56), (22.91, 25.55)),
    ),
    "source only": (
        *((22.92, 24.31), (19.90, 19.90), (23.44, 26.04)),
        *((20.32, 31.37), (19.37, 21.41), (26.83, 23.89), (22.13, 24.49)),
    ),
    "CAAM": (
        *((25.31, 28.01), (25.90, 25.90), (32.08, 35.65)),
        *((28.62, 37.10), (24.38, 26.74), (32.67, 27.22), (28.16, 30.10)),
    ),
}

_SVM_PAIRS = (
    *(("casia", "emodb"), ("emodb", "casia"), ("casia", "savee")),
    *(("savee", "casia"), ("emodb", "savee"), ("savee", "emodb"), _MEAN),
)
_SVM = {
    "CDAN+SVM": (
        *((49.22, 53.66), (41.15, 39.50), (41.70, 52.78)),
        *((36.95, 35.50), (28.11, 37.50), (45.06, 51.22), (40.36, 45.03)),
    ),
    "DANN+SVM": (
        *((32.88, 42.68), (35.64, 31.50), (20.00, 37.50)),
        *((30.56, 26.50), (29.26, 44.44), (28.89, 39.02), (29.54, 36.94)),
    ),
    "NMFTSL+SVM": (
        *((61.84, 61.76), (44.50, 44.50), (51.04, 59.00)),
        *((47.00, 47.00), (43.47, 48.10), (50.96, 53.96), (49.80, 52.39)),
    ),
    "CAAM+SVM": (
        *((66.83, 69.51), (56.50, 56.50), (63.12, 70.83)),
        *((61.58, 61.50), (50.51, 55.56), (72.30, 71.95), (61.81, 64.31)),
    ),
}


def published(task: str | None = None) -> pd.DataFrame:
    """Return the published results.

    Parameters
    ----------
    task
        ``"cpac"`` (inside one corpus), ``"transfer"`` (across corpora), or None for all.

    Returns
    -------
    pandas.DataFrame
        A row per method and corpus or pair: task, method, corpus ("" across corpora), source,
        target ("" inside one; ``"mean"`` for the mean over pairs as printed), protocol
        (``"kfold"``, ``"transductive"``, or ``"svm"`` for table S5), uar and war in **percent**,
        reported_by (authors and year), citation, note.

    Raises
    ------
    StudyError
        For an unknown task.

    Examples
    --------
    >>> table = published("cpac")
    >>> table.loc[(table.method == "CPAC") & (table.corpus == "emodb"), ["uar", "war"]].values
    array([[86.92, 86.15]])
    """
    tasks = {"cpac": _single, "transfer": _transfer}
    if task is not None and task not in tasks:
        raise StudyError(f"expected a task of {', '.join(tasks)}; got {task!r}")
    rows = [row for name, make in tasks.items() if task in (None, name) for row in make()]
    return pd.DataFrame(rows, columns=COLUMNS)


def _single() -> list[tuple]:
    rows = []
    for method, scores in _SINGLE.items():
        note = SINGLE_NOTE + (", 500 epochs" if method == "TIM-Net" else "")
        for corpus, (uar, war) in zip(_CORPORA, scores, strict=True):
            rows.append(("cpac", method, corpus, "", "", "kfold", uar, war, YE, README, note))
    return rows


def _transfer() -> list[tuple]:
    whole = f"{APPENDIX}, tables S3 and S4"
    rows = _pairs(_TRANSFER, _TRANSFER_PAIRS, "transductive", whole, TRANSFER_NOTE)
    rows += _pairs(_SVM, _SVM_PAIRS, "svm", f"{APPENDIX}, table S5", SVM_NOTE)
    return rows


def _pairs(table: dict, pairs: tuple, protocol: str, citation: str, note: str) -> list[tuple]:
    rows = []
    for method, scores in table.items():
        for (source, target), (uar, war) in zip(pairs, scores, strict=True):
            remark = note
            if method == "source only":
                remark += "; the same network without MDD"
            if protocol == "svm" and (source, target) == ("savee", "emodb"):
                remark += "; printed as SAVEE -> CASIA"
            place = ("transfer", method, "", source, target, protocol)
            rows.append((*place, uar, war, WEN, citation, remark))
    return rows
