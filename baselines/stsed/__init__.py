"""ST-SED: separation by audio examples, conditioned on the latent of a sound event detector."""
