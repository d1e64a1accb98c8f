"""Benchmarks and searches, run by hand: timings belong in no test."""
