"""Fixtures for tests of agents; pytest loads this module by its entry point."""
