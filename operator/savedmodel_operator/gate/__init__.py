"""All that is checked before the first client request: ordered pure checks → `Verdict`.

`check_static` judges the facts read from the bucket, `examine` gives every finding behind that
judgement, `compare` the differences of two sets of signatures, `check_live` judges what a started
candidate answers. A check that could not be done is `Errored`, never a refusal. Nothing here reads
or waits.
"""

from savedmodel_operator.gate.checks import Examination, check_static, examine
from savedmodel_operator.gate.compatibility import compare
from savedmodel_operator.gate.finding import Finding, Severity
from savedmodel_operator.gate.live import check_live
from savedmodel_operator.gate.verdict import Outcome, Verdict

__all__ = [
    "Examination",
    "Finding",
    "Outcome",
    "Severity",
    "Verdict",
    "check_live",
    "check_static",
    "compare",
    "examine",
]
