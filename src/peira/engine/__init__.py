"""Collecting, learning, evaluating and keeping: everything no paper mentions."""
