"""The networks, in Keras 3 and for any of its backends."""
