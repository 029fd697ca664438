"""How examples of property tests are chosen, in all tests; Ctrl-C reaches what tests start; names of tests repeat.

The same ones each time, so that a run is bounded and repeats; ``FAIRLEAD_HYPOTHESIS=explore`` looks for others, and for
twenty times as many. Tests that need fewer say so as a part of ``settings.default.max_examples``.
"""

import os
import signal

from hypothesis import HealthCheck, settings

CI_EXAMPLES = 50

settings.register_profile(
    "ci",
    max_examples=CI_EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("explore", settings.get_profile("ci"), max_examples=20 * CI_EXAMPLES, derandomize=False)
settings.load_profile(os.environ.get("FAIRLEAD_HYPOTHESIS", "ci"))

# A shell without job control starts what runs in the background with SIGINT ignored, and children inherit that: the
# command line would rightly go on where a test presses Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(config: object, val: object, argname: str) -> str | None:
    """Names bytes by their length: packed ones may carry the time, and workers must collect the same names."""
    return f"{argname}{len(val)}B" if isinstance(val, bytes) else None
