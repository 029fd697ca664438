"""Bundles: a folder with ``fairlead.toml``, and the zip it travels in. Nothing here imports or runs a bundle's code."""
