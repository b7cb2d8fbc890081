"""The encoder, LMIM and its baselines, the recognizer with its heads, and weights in and out."""
