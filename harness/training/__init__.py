"""Training: clips drawn and mixed by seed, and a loop that resumes to the bit."""
