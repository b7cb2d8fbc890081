"""From sources to a packed store."""
