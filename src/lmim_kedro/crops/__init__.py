"""Text crops: from files on disk to uint8 tensors."""
