"""One loop for pre-training and fine-tuning: optimizer and schedule, checkpoints, what is trained on what."""
