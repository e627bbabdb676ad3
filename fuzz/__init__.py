"""Fuzzing: what a stranger, a peer or a file can make our parsers do. Run with `make fuzz`."""
