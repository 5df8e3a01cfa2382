"""Algorithms that learn from a fixed dataset."""
