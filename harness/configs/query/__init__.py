"""Kinds of query, as a Hydra group."""
