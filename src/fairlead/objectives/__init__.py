"""Objectives: what was promised of a model's answers, how much of the error budget is left, and who is told."""
