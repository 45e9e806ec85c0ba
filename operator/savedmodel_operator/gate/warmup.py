"""Will the warm-up file let the version load? Pure.

TensorFlow Serving replays `assets.extra/tf_serving_warmup_requests` while it loads a version and
fails the load at the first record that is damaged (tensorflow/serving#1562, #1602), so such a
version would never become available. `savedmodel.extras` reads the file; whether a whole request
succeeds is for the running candidate to say.
"""

from __future__ import annotations

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.gate.verdict import Verdict, rejected


def check_warmup(problem: str, enabled: bool) -> Verdict | None:
    """The refusal of a version whose warm-up file has this problem ("" for none).

    `enabled` is spec.serving.options.warmup; where it is off, the server does not look.
    """
    if not problem or not enabled:
        return None
    return rejected(
        "warmup",
        Reason.WarmupUnusable,
        f"the warm-up file assets.extra/tf_serving_warmup_requests would fail the load: {problem}; "
        "write it again, leave it out or set serving.options.warmup: false",
    )
