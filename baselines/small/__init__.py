"""Small versions of the learned separators at 16 kHz: the same networks, with weights of ours."""
