"""Policies that leave home: as ONNX, as StableHLO, and in NumPy."""
