"""Methods: each turns a problem into predictions."""
