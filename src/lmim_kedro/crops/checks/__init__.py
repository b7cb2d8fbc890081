"""Checks between stores: duplicates, leaks, the data card."""
