"""The commands of `lmim-kedro`, a module each."""
