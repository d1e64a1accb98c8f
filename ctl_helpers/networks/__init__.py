"""The networks, in Keras 3 and for any of its backends."""

from ctl_helpers.networks import backend as backend  # first: it has the backend imported quietly
