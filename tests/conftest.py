"""For all levels: no event loop exists before a test makes one.

pytest-asyncio saves the thread's current loop around each asynchronous test. On Python 3.11 asking
for it makes one that nobody closes, and an unclosed loop is an error here.
"""

from __future__ import annotations

import asyncio


def pytest_configure() -> None:
    asyncio.set_event_loop(None)
