"""Why a question to a model has no answer; the commands map each to one exit code.

Every text is a sentence for a person. Must not import anything but the standard library.
"""

from __future__ import annotations

import importlib
from types import ModuleType

MESSAGE_LIMIT = 2000
"""Characters kept of a server's message. TensorFlow's longest useful ones, with the signature
quoted, are about 1,000; a body may be anything."""


class ClientError(Exception):
    """There is no answer; the text says why."""


class MisfitError(ClientError):
    """The inputs are not what the signature wants; nothing was sent."""


class RefusedError(ClientError):
    """The model or its server judged the request and said no."""


class NoAnswerError(ClientError):
    """Nobody judged the request: unreachable, not such a server, no such model, a fault there."""


class TimedOutError(NoAnswerError):
    """No answer in the time that was given."""


class MissingExtraError(ClientError):
    """A package is not installed; the text names the extra that brings it."""


def load(module: str, extra: str, purpose: str) -> ModuleType:
    """Imports a package that belongs to an extra.

    Raises MissingExtraError with what to install when it is absent.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = (error.name or module).partition(".")[0]
        if package != module.partition(".")[0]:
            raise MissingExtraError(f"{module} cannot be used here: {error}") from error
        raise MissingExtraError(
            f"{purpose} needs the Python package {package}, which is not installed here; "
            f"pip install 'savedmodel-operator[{extra}]' brings it"
        ) from None


def shorten(text: str) -> str:
    """A message on one line, cut to `MESSAGE_LIMIT` characters."""
    text = " ".join(text.split())
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "…"
