"""LASS-Net: separation by a text query, with magnitudes and a mask."""
