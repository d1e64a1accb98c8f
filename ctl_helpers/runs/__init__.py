"""Runs: one method on one problem with one seed."""

FORMAT = 3  # part of every specification: raise it when the same one gives other numbers
