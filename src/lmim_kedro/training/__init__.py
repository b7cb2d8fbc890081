"""One loop for pre-training and fine-tuning: optimiser and schedule, checkpoints, what is trained on what."""
