"""What all tests share."""

import hypothesis

# A busy machine is no failure, and the same commit passes or fails every time.
hypothesis.settings.register_profile("reproducible", deadline=None, derandomize=True)
hypothesis.settings.load_profile("reproducible")
