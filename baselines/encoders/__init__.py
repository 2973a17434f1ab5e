"""Query encoders: from texts and sounds to the vectors that separators take."""
