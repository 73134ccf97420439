from __future__ import annotations

from hypothesis import settings

# No example has to be quick on a busy machine, and one that fails can be run again as it was.
settings.register_profile("replayable", deadline=None, print_blob=True)
settings.load_profile("replayable")
