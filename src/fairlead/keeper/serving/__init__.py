"""Replicas of models on this machine: how many, which are well, who waits for them, which jobs they get."""
