"""Secure peer-to-peer connections between named services; knows nothing of jobs."""
