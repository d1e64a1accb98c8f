"""Figures: functions that take frames or arrays and return a Matplotlib figure."""

from ctl_helpers.report.figures.disparity import margin_disparity_on_clouds
from ctl_helpers.report.figures.networks import network, routing
from ctl_helpers.report.figures.scores import (
    comparison,
    confusion_matrix,
    gains,
    gap,
    learning_curves,
    overview,
    recalls,
    reliability,
    verdicts,
)
from ctl_helpers.report.figures.spaces import embedding_scatter, project
from ctl_helpers.report.figures.speech import (
    class_balance,
    normalisation_effect,
    one_per_emotion,
    timeline,
    utterance_panels,
)
from ctl_helpers.report.figures.steps import mfcc_step_by_step, mfcc_steps, pitch_and_moments
from ctl_helpers.report.figures.style import colours_of, png_of, save_figure
