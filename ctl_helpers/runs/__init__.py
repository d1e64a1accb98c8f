"""Runs: one method on one problem with one seed."""
