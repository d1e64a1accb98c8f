"""What the notebooks show.

A notebook imports from here and opens what it shows in one line: `open_corpus`, `open_inside`,
`open_across` or `open_report`. What they give says at the end, from its numbers, what was seen.
"""

from IPython.display import Audio

from ctl_helpers.features import normalise
from ctl_helpers.networks.saved import replay
from ctl_helpers.report import figures, tables
from ctl_helpers.results import comparisons, spaces
from ctl_helpers.study.opened.corpus import features_of_recipes, open_corpus
from ctl_helpers.study.opened.runs import open_across, open_inside, open_report
