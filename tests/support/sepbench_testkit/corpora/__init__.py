"""Tiny copies of corpora, true in layout, codecs and awkward names."""
