"""JSON request bodies, read as TensorFlow Serving reads them (RapidJSON 1.1.0, iterative).

Well-formed documents go through the C scanner of the standard library; whatever it refuses, or
could accept differently, is read again by the state machine below, which knows RapidJSON's
grammar (`NaN`, `Inf`, `Infinity`, anything after the document, any depth) and words its errors
with their byte offset. Flags as in json_tensor.cc ParseJson: iterative, NaN and Inf, stop when
done. Numbers are rounded correctly here; RapidJSON's may be off by a last bit of a double.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tensorflow_serving_compatible.errors import invalid_argument

INT64_MIN, UINT64_MAX = -(2**63), 2**64 - 1

# Every digit as `0` and every exponent mark as `e`, so that a plain substring search, which takes
# milliseconds where a regular expression takes seconds on a large body, finds runs of digits.
_SHAPE = bytes.maketrans(b"123456789E", b"000000000e")
_SURROGATES = re.compile(rb"\\u[dD][89a-fA-F]")
# 10^300 is near the largest double, 10^18 the largest number of digits that always fits int64.
_LONG, _WIDE = b"0" * 300, b"0" * 19
_SPACE = re.compile(r"[ \t\n\r]*")

_EMPTY = "The document is empty."
_VALUE = "Invalid value."
_NAME = "Missing a name for object member."
_COLON = "Missing a colon after a name of object member."
_CURLY = "Missing a comma or '}' after an object member."
_SQUARE = "Missing a comma or ']' after an array element."
_HEX = "Incorrect hex digit after \\u escape in string."
_SURROGATE = "The surrogate pair in string is invalid."
_ESCAPE = "Invalid escape character in string."
_QUOTE = "Missing a closing quotation mark in string."
_BIG = "Number too big to be stored in double."
_FRACTION = "Miss fraction part in number."
_EXPONENT = "Miss exponent in number."


class RepeatedKeys(dict[str, Any]):
    """An object with a name given twice: a look-up finds the first, `pairs` has them all."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(reversed(pairs))
        self.pairs = pairs


def members(value: dict[str, Any]) -> list[tuple[str, Any]]:
    """All name/value pairs of an object in document order, repeated names included."""
    return value.pairs if isinstance(value, RepeatedKeys) else list(value.items())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else RepeatedKeys(pairs)


# A Python integer that no 64-bit field holds is a double in RapidJSON.
def _integer(text: str) -> int | float:
    value = int(text)
    return value if INT64_MIN <= value <= UINT64_MAX else float(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
_WIDE_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer)


def parse(body: bytes) -> Any:
    """The document of a request body.

    Strings keep bytes that are not UTF-8 as surrogate escapes. Raises
    StatusError(INVALID_ARGUMENT) with RapidJSON's words and offset.
    """
    if not body:
        # json_tensor.cc checks this itself, without a full stop or an offset.
        raise invalid_argument("JSON Parse error: The document is empty")
    shape = body.translate(_SHAPE)
    if not _could_differ(body, shape):
        decoder = _WIDE_DECODER if _WIDE in shape else _DECODER
        text = body.decode("utf-8", "surrogateescape")
        try:
            return decoder.raw_decode(text, _space_end(text))[0]
        except (ValueError, RecursionError):
            pass  # read again, for RapidJSON's verdict and words
    return _Reader(body).read()


def _could_differ(body: bytes, shape: bytes) -> bool:
    """Whether Python and RapidJSON might read the body differently.

    That is so for doubles that overflow, integers beyond Python's digit limit, lone surrogates
    and NUL, which ends RapidJSON's input.
    """
    return (
        b"e000" in shape
        or b"e+000" in shape
        or _LONG in shape
        or b"\x00" in body
        or (b"\\u" in body and _SURROGATES.search(body) is not None)
    )


def _space_end(text: str) -> int:
    match = _SPACE.match(text)
    return match.end() if match else 0


class _ParseError(Exception):
    def __init__(self, text: str, offset: int) -> None:
        super().__init__(text)
        self.text, self.offset = text, offset


_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]+')
_ESCAPES = {
    b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r",
    b"t": b"\t",
}  # fmt: skip
_LITERALS = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}


class _Reader:
    """RapidJSON's iterative parser: one explicit stack, so depth costs memory, not the C stack."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 3 if body.startswith(b"\xef\xbb\xbf") else 0

    def read(self) -> Any:
        try:
            return self._document()
        except _ParseError as failure:
            raise invalid_argument(
                f"JSON Parse error: {failure.text} at offset: {failure.offset}"
            ) from None

    def _peek(self) -> bytes:
        """The next byte; NUL and the end of the input are the same to RapidJSON."""
        byte = self.body[self.at : self.at + 1]
        return b"" if byte == b"\x00" else byte

    def _skip(self) -> None:
        while self._peek() in (b" ", b"\t", b"\n", b"\r") and self._peek():
            self.at += 1

    def _document(self) -> Any:
        self._skip()
        if not self._peek():
            raise _ParseError(_EMPTY, self.at)
        if self._peek() in b",:]}":
            raise _ParseError(_EMPTY, self.at)
        stack: list[tuple[Any, str]] = []  # (open container, name that waits for its value)
        value, opened = self._value()
        while True:
            if opened:
                name = self._first_name() if opened == "{" else ""
                if name is None or (opened == "[" and self._closes()):
                    value = {} if opened == "{" else []
                else:
                    stack.append((value, name))
                    value, opened = self._value()
                    continue
            if not stack:
                return value
            container, name = stack.pop()
            value, opened = self._add(stack, container, name, value)

    def _add(
        self, stack: list[tuple[Any, str]], container: Any, name: str, value: Any
    ) -> tuple[Any, str]:
        """Stores a finished value; returns the next one to finish."""
        self._skip()
        byte = self._peek()
        if isinstance(container, _Members):
            container.append((name, value))
            if byte == b"}":
                self.at += 1
                return _object(list(container)), ""
            if byte != b",":
                raise _ParseError(_CURLY, self.at)
            self.at += 1
            stack.append((container, self._name()))
        else:
            container.append(value)
            if byte == b"]":
                self.at += 1
                return container, ""
            if byte != b",":
                raise _ParseError(_SQUARE, self.at)
            self.at += 1
            stack.append((container, ""))
        return self._value()

    def _closes(self) -> bool:
        self._skip()
        if self._peek() != b"]":
            return False
        self.at += 1
        return True

    def _first_name(self) -> str | None:
        """The first name of an object, or None when it ends at once."""
        self._skip()
        if self._peek() == b"}":
            self.at += 1
            return None
        return self._name()

    def _name(self) -> str:
        self._skip()
        if self._peek() != b'"':
            raise _ParseError(_NAME, self.at)
        name = self._string()
        self._skip()
        if self._peek() != b":":
            raise _ParseError(_COLON, self.at)
        self.at += 1
        return name

    def _value(self) -> tuple[Any, str]:
        """The next value, or an opened container and its bracket."""
        self._skip()
        byte = self._peek()
        if byte == b"{":
            self.at += 1
            return _Members(), "{"
        if byte == b"[":
            self.at += 1
            return [], "["
        if byte == b'"':
            return self._string(), ""
        if byte in _LITERALS:
            return self._literal(*_LITERALS[byte]), ""
        return self._number(), ""

    def _literal(self, word: bytes, value: Any) -> Any:
        for letter in word:
            if self.body[self.at : self.at + 1] != bytes([letter]):
                raise _ParseError(_VALUE, self.at)
            self.at += 1
        return value

    def _number(self) -> int | float:
        start = self.at
        match = _NUMBER.match(self.body, start)
        if match is None:
            return self._not_finite()
        self.at = match.end()
        whole = True
        for mark, text in ((b".", _FRACTION), (b"eE", _EXPONENT)):
            if not self._peek() or self._peek() not in mark:
                continue
            whole = False
            self.at += 1
            if mark == b"eE" and self._peek() and self._peek() in b"+-":
                self.at += 1
            if not self._peek().isdigit():
                raise _ParseError(text, self.at)
            while self._peek().isdigit():
                self.at += 1
        number = self.body[start : self.at].decode()
        value = float(number)
        if value in (float("inf"), float("-inf")):
            raise _ParseError(_BIG, start)
        if whole and len(number) <= 21 and INT64_MIN <= int(number) <= UINT64_MAX:
            return int(number)
        return value

    def _not_finite(self) -> float:
        sign = 1.0
        if self._peek() == b"-":
            sign = -1.0
            self.at += 1
        if self._peek() == b"N":
            return sign * float(self._letters(b"NaN"))
        if self._peek() != b"I":
            raise _ParseError(_VALUE, self.at)
        self._letters(b"Inf")
        if self._peek() == b"i":
            self._letters(b"inity")
        return sign * float("inf")

    def _letters(self, word: bytes) -> str:
        self._literal(word, None)
        return word.decode()

    def _string(self) -> str:
        start = self.at
        self.at += 1
        parts = []
        while True:
            plain = _PLAIN.match(self.body, self.at)
            if plain:
                parts.append(plain.group())
                self.at = plain.end()
            byte = self._peek()
            if byte == b'"':
                self.at += 1
                return b"".join(parts).decode("utf-8", "surrogateescape")
            if byte == b"\\":
                parts.append(self._escape())
            elif byte:
                raise _ParseError(_ESCAPE, self.at)  # a bare control character
            else:
                # RapidJSON names where the search for the quotation mark ended.
                raise _ParseError(_QUOTE, max(self.at, start))

    def _escape(self) -> bytes:
        at = self.at
        letter = self.body[at + 1 : at + 2]
        if letter in _ESCAPES:
            self.at += 2
            return _ESCAPES[letter]
        if letter != b"u":
            raise _ParseError(_ESCAPE, at)
        self.at += 2
        code = self._hex4(at)
        if 0xD800 <= code <= 0xDBFF:
            if self.body[self.at : self.at + 2] != b"\\u":
                raise _ParseError(_SURROGATE, at)
            self.at += 2
            low = self._hex4(at)
            if not 0xDC00 <= low <= 0xDFFF:
                raise _ParseError(_SURROGATE, at)
            code = (((code - 0xD800) << 10) | (low - 0xDC00)) + 0x10000
        return chr(code).encode("utf-8", "surrogatepass")

    def _hex4(self, offset: int) -> int:
        match = _HEX4.match(self.body, self.at)
        if match is None:
            raise _ParseError(_HEX, offset)
        self.at = match.end()
        return int(match.group(), 16)


class _Members(list[tuple[str, Any]]):
    """An object while it is open."""
