"""Bytes that are too large for a row: bundles, inputs and results of jobs, files of apps."""
