"""Text as symbols: charsets, CTC, spelling. No torch."""
