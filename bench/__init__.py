"""Benchmarks: what a handoff costs, beside the floors it stands on. Never part of a test; figures are medians of interleaved rounds."""
