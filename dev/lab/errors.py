"""What can go wrong in the laboratory, told in one sentence to a person at a terminal.

Neighbours: every room raises `LabError`; `cluster_cli` prints it and exits with 1. Must not hold
logic.
"""


class LabError(Exception):
    """Something that a person must know: what failed, where its log is, what to do."""
