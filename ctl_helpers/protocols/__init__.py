"""Protocols: who trains and who tests."""
