"""Protocols: who trains and who tests, inside a corpus and across corpora."""

from ctl_helpers.protocols.across import LABELS, SCORINGS, problems_across
from ctl_helpers.protocols.inside import PROTOCOLS, make_splits, problems_inside, validation_part
from ctl_helpers.protocols.partition import read_partition
from ctl_helpers.protocols.problem import Problem, Split, classes_of
