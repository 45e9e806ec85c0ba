"""The inputs of `savedmodel run`, from files, literals and features. Runs nothing of anybody's code.

Forms as saved_model_cli has them: `KEY=VALUE`, several in one option after `;` or in several
options. What the values must fit is `client.arrays`' matter.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from savedmodel_operator.client.arrays import Array, check_keys, fit_array, fit_literal
from savedmodel_operator.client.messages import message
from savedmodel_operator.savedmodel.facts import Signature

_VARIABLE = re.compile(r"(?P<file>.+)\[(?P<variable>[^\[\]]+)\]", re.DOTALL)


class InputsError(Exception):
    """What was written is no input; the text says what and how to write it."""


@dataclass(frozen=True)
class FileInput:
    """An array from a .npy file, or one variable of a .npz archive."""

    path: Path
    variable: str | None


@dataclass(frozen=True)
class Given:
    """What the options say, by input; nothing is read yet."""

    files: Mapping[str, FileInput]
    literals: Mapping[str, object]
    examples: Mapping[str, list[bytes]]


def parse_options(files: Iterable[str], literals: Iterable[str], examples: Iterable[str]) -> Given:
    """The three options. Raises InputsError, also for an input that is given twice."""
    given = Given(
        {key: _file_input(text) for key, text in _pairs("--inputs", files)},
        {key: _literal(key, text) for key, text in _pairs("--input-exprs", literals)},
        {
            key: _examples(key, _literal(key, text))
            for key, text in _pairs("--input-examples", examples)
        },
    )
    seen: set[str] = set()
    for keys in (given.files, given.literals, given.examples):
        twice = seen & keys.keys()
        if twice:
            raise InputsError(f"input {min(twice)!r} is given by two options")
        seen |= keys.keys()
    return given


def _pairs(option: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for text in texts:
        for part in filter(str.strip, split_outside_quotes(text)):
            key, equals, value = part.partition("=")
            key = key.strip()
            if not equals or not key or not value.strip():
                raise InputsError(f"{option} {part!r}: write KEY=VALUE")
            if key in seen:
                raise InputsError(f"{option} gives the input {key!r} twice")
            seen.add(key)
            yield key, value.strip()


def split_outside_quotes(text: str) -> Iterator[str]:
    """The parts between semicolons that stand in no quoted text.

    >>> list(split_outside_quotes("a=[';'];b=x.npy"))
    ["a=[';']", 'b=x.npy']
    """
    start, quote, skip = 0, "", False
    for at, letter in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip = letter == "\\"
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == ";":
            yield text[start:at]
            start = at + 1
    yield text[start:]


def _file_input(text: str) -> FileInput:
    if not Path(text).is_file():  # a file may have brackets in its name
        found = _VARIABLE.fullmatch(text)
        if found:
            return FileInput(Path(found["file"]), found["variable"])
    return FileInput(Path(text), None)


def _literal(key: str, text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise InputsError(
            f"input {key!r}: {text!r:.80} is no Python literal; numbers, text and lists of them "
            "are, calls such as np.ones(2) are not: put those into a .npy file"
        ) from None


def _examples(key: str, value: object) -> list[bytes]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise InputsError(f"input {key!r}: examples are a list of {{feature: [values]}}")
    return [_example(key, entry) for entry in value]


def _example(key: str, features: Mapping[object, object]) -> bytes:
    """One serialized tf.Example; the same features give the same bytes."""
    example = message("Example")()
    for name, values in features.items():
        if not isinstance(name, str) or not isinstance(values, list):
            raise InputsError(
                f"input {key!r}: a feature is a name and a list, not {name!r}: {values!r:.40}"
            )
        kind, converted = _feature(key, name, values)
        feature = example.features.feature[name]
        feature.SetInParent()  # an empty list is a feature without a kind
        if kind:
            try:
                getattr(feature, kind).value.extend(converted)
            except ValueError as error:
                raise InputsError(f"input {key!r}, feature {name!r}: {error}") from None
    return bytes(example.SerializeToString(deterministic=True))


def _feature(key: str, name: str, values: list[object]) -> tuple[str, list[Any]]:
    """(field, values): text is bytes, whole numbers int64, a list with a fraction floats."""
    kinds = {type(value) for value in values}
    if kinds <= {str, bytes}:
        texts = [v.encode() if isinstance(v, str) else v for v in values]
        return ("bytes_list" if values else ""), texts
    if kinds <= {int, bool}:
        return "int64_list", [int(v) for v in values if isinstance(v, int)]
    if kinds <= {int, float}:
        return "float_list", [float(v) for v in values if isinstance(v, int | float)]
    words = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise InputsError(f"input {key!r}: feature {name!r} mixes or has no such values ({words})")


def read_feeds(
    given: Given, signature: Signature, *, allow_pickle: bool, cast: bool
) -> dict[str, Array]:
    """Arrays of exactly the types and shapes that the signature wants.

    Raises InputsError for a file that cannot be read, MisfitError for what does not fit.
    """
    check_keys(signature, {**given.files, **given.literals, **given.examples})
    feeds: dict[str, Array] = {}
    for key, file in given.files.items():
        array = read_array(file, allow_pickle=allow_pickle)
        feeds[key] = fit_array(key, signature.inputs[key], array, cast=cast)
    for key, value in {**given.literals, **given.examples}.items():
        feeds[key] = fit_literal(key, signature.inputs[key], value)
    return feeds


def read_array(file: FileInput, *, allow_pickle: bool = False) -> Array:
    """The array of a file. A pickle, which runs code when it is read, only with `allow_pickle`."""
    try:
        loaded = np.load(file.path, allow_pickle=allow_pickle)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded as archive:
                return _of_archive(file, archive)
    except OSError as error:
        raise InputsError(f"{file.path}: {error.strerror or error}") from None
    except Exception as error:  # numpy, zipfile and pickle raise whatever the bytes lead them to
        if isinstance(error, InputsError):
            raise
        if "allow_pickle" in str(error):
            raise InputsError(
                f"{file.path} is a pickle or holds Python objects, and reading one runs the code "
                "in it; --allow-pickle reads it all the same"
            ) from None
        raise InputsError(f"{file.path} is no array that numpy can read: {error}") from None
    return _of_object(file, loaded)


def _of_archive(file: FileInput, archive: Any) -> Array:
    names = list(archive.files)
    if file.variable is None and len(names) != 1:
        raise InputsError(
            f"{file.path} has the arrays {', '.join(names) or 'none'}: name one, "
            f"as {file.path}[{names[0] if names else 'NAME'}]"
        )
    name = file.variable or names[0]
    if name not in names:
        raise InputsError(f"{file.path} has no array {name!r}; it has {', '.join(names)}")
    array: Array = archive[name]
    return array


def _of_object(file: FileInput, loaded: Any) -> Array:
    """An array as it is; a pickled dictionary by its variable, as saved_model_cli reads it."""
    if isinstance(loaded, np.ndarray):
        if file.variable is not None:
            raise InputsError(f"{file.path} holds one array, so [{file.variable}] names nothing")
        return loaded
    if file.variable is not None:
        if not isinstance(loaded, dict) or file.variable not in loaded:
            raise InputsError(f"{file.path} holds no dictionary with {file.variable!r}")
        loaded = loaded[file.variable]
    array: Array = np.asarray(loaded)
    return array
