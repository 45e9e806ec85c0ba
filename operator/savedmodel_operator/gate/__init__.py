"""All that is checked before the first client request: ordered pure checks → `Verdict`.

`check_static` judges the facts read from the bucket, `check_live` what a started candidate
answers. A check that could not be done is `Errored`, never a refusal. Nothing here reads or waits.
"""

from savedmodel_operator.gate.checks import check_static
from savedmodel_operator.gate.live import check_live
from savedmodel_operator.gate.verdict import Outcome, Verdict

__all__ = ["Outcome", "Verdict", "check_live", "check_static"]
