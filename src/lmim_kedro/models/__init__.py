"""The encoder, LMIM and its baselines, the recogniser, charsets, and weights in and out."""
