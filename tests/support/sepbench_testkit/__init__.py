"""A small plugin package for the tests: known answers, and every way to misbehave."""
