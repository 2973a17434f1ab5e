"""Recipes of `bench train`, read by Hydra."""
