"""What `evaluate` looks at beside the accuracy: attention, reconstruction, [cls]."""
