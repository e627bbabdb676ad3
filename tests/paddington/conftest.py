from hypothesis import settings

# The machine may be busy with something else; a slow example is no failure.
settings.register_profile("paddington", deadline=None)
settings.load_profile("paddington")
