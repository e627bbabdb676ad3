"""Settings of these tests: a loaded machine is slow, and that is no failure."""

from hypothesis import settings

settings.register_profile("grammar", deadline=None)
settings.load_profile("grammar")
