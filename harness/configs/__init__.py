"""Packaged defaults, as Hydra groups."""
