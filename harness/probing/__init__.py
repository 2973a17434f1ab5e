"""How good is an audio encoder's query space? Measured on labelled clips, without a separator."""
