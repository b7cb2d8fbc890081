"""The packed store: crops on disk, ready to be read in batches."""
