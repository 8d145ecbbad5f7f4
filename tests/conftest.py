"""Settings of the whole suite."""

import os

from hypothesis import settings

# The same examples in every run: a change is what makes a test fail. HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
