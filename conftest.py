"""What all tests here share, those of the plugins included."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline: on a busy machine it would report the machine. In CI the same examples each time, so that a failure
# there can be repeated at home; elsewhere new ones, so that something new can be found.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CLOUDLLM_CI") else "here")
