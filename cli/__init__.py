"""The command line: turns words into calls, nothing else."""
