"""AudioSep: separation by a text or audio query in a contrastive embedding space."""
