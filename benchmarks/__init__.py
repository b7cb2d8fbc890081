"""How fast the parts are, each beside a plain way to do the same in the same run: `python -m benchmarks`."""
