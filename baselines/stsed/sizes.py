"""Lengths that all parts of ST-SED share; the network itself states the rest."""

from __future__ import annotations

SAMPLE_RATE = 32_000
SEGMENT = 64_000
"""Samples of a segment: 2 s, what the separator was trained on and the query is made of."""
OVERLAP = 32_000
"""Samples that neighbouring segments share where they overlap: the published rate of 0.5."""
HOP = 320
"""Samples between the frames of detector and separator: 10 ms."""
SHORTEST_CLIP = 513
"""Samples: half a frame of the detector must fit into a clip, since its edges are reflected."""
CLIP = 320_000
"""Samples of AudioSet's clips: 10 s, what the detector was trained on."""
LONGEST_CLIP = 327_679
"""Samples: the detector's image takes 1024 frames, 10.24 s."""
