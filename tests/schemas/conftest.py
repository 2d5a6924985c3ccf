"""How hypothesis runs here: without a time limit, as machines are shared and tests not timed."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
