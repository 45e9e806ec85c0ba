"""What a fuzz target raises where something did what it must not do. For `fuzz` and its targets."""

from __future__ import annotations


class FindingError(AssertionError):
    """A finding, in words."""
