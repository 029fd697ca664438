"""Load and comparison."""
