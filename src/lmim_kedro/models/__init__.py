"""The encoder, LMIM and its baselines, the recognizer, charsets, and weights in and out."""
