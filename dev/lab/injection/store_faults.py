"""Faults of an S3 server as data: what to do to which requests, and how a listing is falsified.

Neighbours: `store_proxy` does them. A fault is a frozen dataclass; an `Injection` is one at work, with
its hits. Must not open a connection.
"""

import re
import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from html import unescape
from types import TracebackType
from urllib.parse import parse_qs, quote, unquote, urlsplit


@dataclass(frozen=True)
class Delay:
    """The request goes on after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Refuse:
    """An answer of S3's form that the store never gave; `retry_after` in seconds."""

    status: int
    code: str
    retry_after: int | None = None


@dataclass(frozen=True)
class LoseAnswer:
    """The store did it; the client sees its connection reset."""


@dataclass(frozen=True)
class Trickle:
    """The body comes at this pace, without a pause that any timeout of a read would notice."""

    bytes_per_second: float


@dataclass(frozen=True)
class Truncate:
    """The connection ends after so many bytes of a longer body."""

    after: int


@dataclass(frozen=True)
class Corrupt:
    """One bit of the object's byte `at` is another one; ranges without it are left alone."""

    at: int


@dataclass(frozen=True)
class Redirect:
    """307 to this URL."""

    to: str


@dataclass(frozen=True)
class OmitKey:
    """Listings lack the keys, and the directories, that match this pattern."""

    pattern: str


@dataclass(frozen=True)
class RepeatKey:
    """Listings have the keys, and the directories, that match this pattern twice."""

    pattern: str


@dataclass(frozen=True)
class AddKey:
    """Listings end with this key, of one byte; a key that no store would have taken, say."""

    key: str


@dataclass(frozen=True)
class Partition:
    """Nothing is answered: requests hang until the injection is removed, and get no answer then."""


Fault = (
    Delay
    | Refuse
    | LoseAnswer
    | Trickle
    | Truncate
    | Corrupt
    | Redirect
    | OmitKey
    | RepeatKey
    | AddKey
    | Partition
)


@dataclass(frozen=True)
class Request:
    """One request as the store reads it, in path addressing; a listing's `key` is its prefix.

    `access_key`: the id of the key that it was signed with.
    """

    method: str
    bucket: str
    key: str
    listing: bool
    access_key: str = field(default="", repr=False)

    @classmethod
    def of(cls, method: str, target: str, authorization: str = "") -> "Request":
        """From the request line, and a header."""
        url = urlsplit(target)
        bucket, _, key = url.path.lstrip("/").partition("/")
        asked = parse_qs(url.query)
        listing = method == "GET" and not key and "list-type" in asked
        named = asked.get("prefix", [""])[0] if listing else unquote(key)
        found = re.search(r"Credential=([^/]+)/", authorization)
        return cls(method, bucket, named, listing, found[1] if found else "")


@dataclass(frozen=True)
class Match:
    """Which requests; each field narrows. `key`: a pattern of the key, or of a listing's prefix.
    `access_key`: a pattern of the id of the key that signed it."""

    methods: tuple[str, ...] = ()
    key: str = "*"
    listing: bool | None = None
    access_key: str = "*"

    def covers(self, request: Request) -> bool:
        """Whether the request is one of these."""
        return (
            (not self.methods or request.method in self.methods)
            and fnmatchcase(request.key, self.key)
            and fnmatchcase(request.access_key, self.access_key)
            and self.listing in (None, request.listing)
        )


@dataclass
class Injection:
    """A fault at work, until it is removed or has met `times` requests."""

    fault: Fault
    match: Match
    times: int | None = None
    hits: int = 0
    removed: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> "Injection":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """No further request meets it; those that it holds are let go."""
        self.removed.set()

    def take(self, request: Request) -> bool:
        """Whether the request meets it, which then counts."""
        with self._changed:
            spent = self.times is not None and self.hits >= self.times
            if spent or self.removed.is_set() or not self.match.covers(request):
                return False
            self.hits += 1
            self._changed.notify_all()
            return True

    def wait(self, count: int, timeout: float) -> bool:
        """Whether so many requests have met it within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.hits >= count, timeout)


_ENTRY = re.compile(
    rb"<Contents>.*?<Key>(?P<key>.*?)</Key>.*?</Contents>"
    rb"|<CommonPrefixes>.*?<Prefix>(?P<prefix>.*?)</Prefix>.*?</CommonPrefixes>",
    re.DOTALL,
)


_URL = b"<EncodingType>url</EncodingType>"
_NAME = re.compile(rb"<(Key|Prefix|Delimiter|StartAfter)>(.*?)</\1>", re.DOTALL)
_END = b"</ListBucketResult>"


def falsify(fault: OmitKey | RepeatKey | AddKey, page: bytes) -> bytes:
    """A listing's page with the entries of a pattern left out or written twice, or one added."""
    page = page if _URL in page else _encode(page)
    if isinstance(fault, AddKey):
        name = quote(fault.key, safe="/")
        entry = f'<Contents><Key>{name}</Key><ETag>"{"0" * 32}"</ETag><Size>1</Size></Contents>'
        return page.replace(_END, entry.encode() + _END)
    times = 2 if isinstance(fault, RepeatKey) else 0

    def one(found: re.Match[bytes]) -> bytes:
        name = unquote((found["key"] or found["prefix"]).decode())
        return found[0] * (times if fnmatchcase(name, fault.pattern) else 1)

    return _ENTRY.sub(one, page)


def _encode(page: bytes) -> bytes:
    """The page of a store that does not encode names, as one that does: any name fits in there."""

    def one(found: re.Match[bytes]) -> bytes:
        name = quote(unescape(found[2].decode()), safe="/")
        return b"<%s>%s</%s>" % (found[1], name.encode(), found[1])

    page = _NAME.sub(one, page).replace(b"<EncodingType></EncodingType>", b"")
    return page.replace(_END, _URL + _END)


def corrupt(fault: Corrupt, body: bytes, content_range: str | None) -> bytes:
    """The body with one bit of the object's byte turned over, where the range has that byte."""
    found = re.match(r"bytes (\d+)-", content_range or "")
    place = fault.at - (int(found[1]) if found else 0)
    if not 0 <= place < len(body):
        return body
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
