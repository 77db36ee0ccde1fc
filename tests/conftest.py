"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A machine that is busy with something else is no failure of the code under test.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
