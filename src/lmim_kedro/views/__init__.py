"""Guidance views and the reader's augmentation: batched on the device, drawn per crop."""
