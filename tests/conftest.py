"""How examples of property tests are chosen, in all tests.

The same ones each time, so that a run is bounded and repeats; ``FAIRLEAD_HYPOTHESIS=explore`` looks for others, and for
ten times as many. Tests that need fewer say so as a part of ``settings.default.max_examples``.
"""

import os

from hypothesis import HealthCheck, settings

CI_EXAMPLES = 100

settings.register_profile(
    "ci",
    max_examples=CI_EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("explore", settings.get_profile("ci"), max_examples=10 * CI_EXAMPLES, derandomize=False)
settings.load_profile(os.environ.get("FAIRLEAD_HYPOTHESIS", "ci"))
