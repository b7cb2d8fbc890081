"""Text normalization, accuracies and evaluation protocols. No torch."""
