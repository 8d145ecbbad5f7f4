"""Settings of the whole suite."""

import os

from hypothesis import settings

# The same examples in every run: a change is what makes a test fail. HYPOTHESIS_PROFILE=explore looks for new ones.
# A test that is slow for once, on a machine that does other work too, is not wrong.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
