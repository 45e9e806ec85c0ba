"""Tokens of protobuf's text format, from a `Source` of any size through one buffer. Pure.

`text_format` asks for a token at a time, or to skip what stands between two braces: skipping runs
at the speed of one regular expression per brace and keeps nothing, so that a 600 MB constant on
one line costs no memory. What protobuf's own parser takes and no writer of SavedModels writes
(`<` and `>` as braces, a minus apart from its number) is refused.

Source of the grammar: https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from savedmodel_operator.savedmodel.wire import MalformedModel, Source

MAX_TEXT_BYTES = 1024 * 1024 * 1024
"""A text file has no lengths to jump over, so all of it is read: 1 GiB takes some seconds from
disk. It is the text of a binary file of about 300 MB; larger ones are not written as text."""

MAX_TEXT_WORK = 3_000_000
"""Units of about 0.2 µs: 0.6 s for the tokens of one file, whatever they are. A usual node of a
graph costs 40 units (`text_format`), so 75,000 nodes fit."""

AHEAD = 64 * 1024
"""Bytes that are in the buffer in front of a token, so that every usual node lies whole in it."""

_READ = 1024 * 1024
"""Bytes of one read. The buffer holds at most this and what was left of the one before."""

_TOKEN_WORK, _BRACE_WORK, _PIECE_WORK = 8, 10, 6
_LONGEST = 16 * 1024

_PLAIN = rb"[^{}\[\]<>\"'#]++"
_STRING = rb'"(?:[^"\\\n]++|\\.){0,256}+"'
"""Strings with more escapes are weights: finding their end is faster than matching them."""

_BLANK = re.compile(rb"[ \t\r\n\v\f]*+")
_WORD = re.compile(rb"[A-Za-z0-9_.+-]++")
_UNSTRUCTURED = re.compile(rb"(?:" + _PLAIN + rb"|" + _STRING + rb")*+", re.DOTALL)


def balanced(levels: int) -> bytes:
    """A pattern of everything up to a closing brace, with braces inside to that depth."""
    pattern = rb"(?:" + _PLAIN + rb"|" + _STRING + rb")*+"
    for _ in range(levels):
        pattern = rb"(?:" + _PLAIN + rb"|" + _STRING + rb"|[{\[]" + pattern + rb"[}\]])*+"
    return pattern


class Tokens:
    """The tokens of one file; `buffer[index:]` is what comes next."""

    def __init__(self, source: Source, file: str) -> None:
        self._source = source
        self._file = file
        self._read = 0
        self._work_left = MAX_TEXT_WORK
        self._peeked: bytes | None = None
        self.buffer = b""
        self.index = 0
        if source.size > MAX_TEXT_BYTES:
            raise self.malformed(f"longer than {MAX_TEXT_BYTES} bytes: export it in binary form")

    @property
    def position(self) -> int:
        """Offset of the next byte in the file."""
        return self._read - len(self.buffer) + self.index

    def malformed(self, problem: str) -> MalformedModel:
        """The error to raise for a problem at the next byte."""
        return MalformedModel(self.position, problem, self._file)

    def spend(self, work: int) -> None:
        """Counts work done, so that no file can take longer than `MAX_TEXT_WORK` units."""
        self._work_left -= work
        if self._work_left < 0:
            raise self.malformed("more text than this reader accepts: export it in binary form")

    def ahead(self, wanted: int = AHEAD) -> int:
        """How many bytes can be seen: at least `wanted` unless the file ends before."""
        if len(self.buffer) - self.index < wanted and self._read < self._source.size:
            length = min(_READ, self._source.size - self._read)
            data = self._source.read(self._read, length)
            if len(data) != length:
                raise self.malformed(f"{length} bytes asked for, {len(data)} read")
            self.buffer = self.buffer[self.index :] + data
            self.index = 0
            self._read += length
        return len(self.buffer) - self.index

    def peek(self) -> bytes:
        """The next token without taking it: a word, a punctuation mark, a quote; b"" at the end."""
        if self._peeked is None:
            self._blank()
            self.spend(_TOKEN_WORK)
            word = _WORD.match(self.buffer, self.index)
            self._peeked = word[0] if word else self.buffer[self.index : self.index + 1]
            if len(self._peeked) > _LONGEST:
                raise self.malformed(f"a word is longer than {_LONGEST} bytes")
        return self._peeked

    def take(self) -> bytes:
        """The next token."""
        token = self.peek()
        self._peeked = None
        self.index += len(token)
        return token

    def took(self, token: bytes) -> bool:
        """Takes the next token if it is this one."""
        if self.peek() != token:
            return False
        self.take()
        return True

    def expect(self, token: bytes) -> None:
        """Takes the next token, which has to be this one."""
        if not self.took(token):
            raise self.malformed(f"{token.decode()!r} expected, {self.shown()} found")

    def word(self, what: str) -> str:
        """Takes the next token, which has to be a word or number."""
        if not _WORD.match(self.peek()):
            raise self.malformed(f"{what} expected, {self.shown()} found")
        return self.take().decode()

    def shown(self) -> str:
        """The next token for a message."""
        if not self.peek():
            return "the end of the file (truncated?)"
        return ascii(self.peek()[:40].decode("latin-1"))

    def jump(self, index: int) -> None:
        """Goes on at that index of `buffer`; only where nothing is peeked."""
        assert self._peeked is None
        self.index = index

    def settle(self) -> None:
        """Stands before the next token with enough in view to match a pattern on `buffer`."""
        self._blank()
        self._peeked = None

    def string(self, limit: int) -> bytes:
        """The string that begins with the quote at hand, escapes as written."""
        pieces, total = list[bytes](), 0
        for start, end in self._string():
            total += end - start
            if total > limit:
                raise self.malformed(f"a string is longer than {limit} bytes")
            pieces.append(self.buffer[start:end])
        return b"".join(pieces)

    def skip_string(self) -> None:
        """The string that begins with the quote at hand."""
        for _ in self._string():
            pass

    def skip_braces(self) -> None:
        """Everything up to the brace that closes the one just taken."""
        depth, self._peeked = 1, None
        while depth:
            if not self.ahead():
                raise self.malformed("the file ends inside braces: truncated?")
            start, buffer = self.index, self.buffer
            found = _UNSTRUCTURED.match(buffer, start)
            self.index = found.end() if found else start
            self.spend(_BRACE_WORK + self._strings(start, self.index))
            mark = buffer[self.index : self.index + 1]
            if mark in (b'"', b"'"):
                self.skip_string()
            elif mark == b"#":
                self._comment()
            elif mark:
                self.index += 1
                depth += self._step(mark)

    def _step(self, mark: bytes) -> int:
        if mark in b"<>":
            raise self.malformed("angle brackets for braces")
        return 1 if mark in b"{[" else -1

    def _strings(self, start: int, end: int) -> int:
        """What the strings between two places cost: a unit for each two quotes or escapes."""
        marks = self.buffer.count(b'"', start, end) + self.buffer.count(b"\\", start, end)
        return marks // 2 + (end - start) // 4096

    def _blank(self) -> None:
        """White space and comments."""
        if self._peeked is not None:
            return
        while self.ahead():
            found = _BLANK.match(self.buffer, self.index)
            self.index = found.end() if found else self.index
            if self.buffer[self.index : self.index + 1] == b"#":
                self._comment()
            elif self.index < len(self.buffer):
                self.ahead()
                return
            self.spend(_PIECE_WORK)

    def _comment(self) -> None:
        while self.ahead():
            end = self.buffer.find(b"\n", self.index)
            self.spend(_PIECE_WORK)
            self.index = len(self.buffer) if end < 0 else end
            if end >= 0:
                return

    def _string(self) -> Iterator[tuple[int, int]]:
        """Pieces of a string as places in the buffer, quotes left out, escapes whole or octal."""
        quote = self.take()
        while self.ahead(2) > 1 or self.buffer[self.index :] == quote:
            start, end = self.index, self._quote(quote)
            stop = end
            if end < 0:  # a backslash at the end belongs to what comes next
                stop = len(self.buffer) - _backslashes(self.buffer[start:]) % 2
            if self.buffer.find(b"\n", start, stop) >= 0:
                raise self.malformed("a string goes over the end of a line")
            yield start, stop
            self.index = stop
            if end >= 0:
                self.index += 1
                return
        raise self.malformed("the file ends inside a string: truncated?")

    def _quote(self, quote: bytes) -> int:
        """Where the string at hand ends; -1 if not in this buffer."""
        clean = self.index  # what stands before is no part of an escape
        while True:
            end = self.buffer.find(quote, clean)
            self.spend(_PIECE_WORK + max(end - clean, 0) // 16384)
            if end < 0 or not _backslashes(self.buffer[clean:end]) % 2:
                return end
            clean = end + 1


def _backslashes(text: bytes) -> int:
    """How many stand at its end."""
    return len(text) - len(text.rstrip(b"\\"))
