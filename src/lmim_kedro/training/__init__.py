"""Pre-training and fine-tuning in one loop: methods, tasks, optimizer, checkpoints, several processes."""
