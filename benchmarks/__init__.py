"""Measurements, printed as ratios of one run; what they gave stands in docs/performance.md."""
