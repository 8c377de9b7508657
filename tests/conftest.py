"""Settings shared by all tests."""

import hypothesis

# Reproducible runs: a failure in CI can be repeated.
hypothesis.settings.register_profile("reproducible", derandomize=True, print_blob=True)
hypothesis.settings.load_profile("reproducible")
