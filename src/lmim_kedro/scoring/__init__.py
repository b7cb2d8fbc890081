"""Text normalisation, accuracies and evaluation protocols. No torch."""
