"""Separators under test: bounds, oracles, and one adapter for each published system."""
