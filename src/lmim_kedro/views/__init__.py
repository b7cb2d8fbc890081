"""Guidance views, and the augmentations of fine-tuning: drawn per crop, computed in batches on the device."""
