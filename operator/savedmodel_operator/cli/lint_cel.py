"""The part of CEL that the rules of our own CRD are written in, so that `lint` can apply them offline.

The rules are the API's (`api.types`); this module only reads and applies them. It is no general
CEL: what it does not know raises UnknownCelError and `lint` names the rule as not applied; a test
holds that there is no such rule. The libraries that know all of CEL were weighed on 2026-11-21:
common-expression-language 0.10 brings typer and prompt-toolkit (6 MB of its own), cel-expr-python
0.1 has 52 MB, cel-python 0.5 needs re2, lark and pendulum; each would be in every install, and
none has Kubernetes' additions such as isSorted(). Neighbour: `lint_schema` calls it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from savedmodel_operator.cli.lint_cel_functions import FUNCTIONS, METHODS, TYPES, CelError

Scope = Mapping[str, Any]
Compiled = Callable[[Scope], Any]


class UnknownCelError(Exception):
    """The rule uses something that this module does not know."""


class _Token(NamedTuple):
    kind: str
    text: str


_TOKENS = re.compile(
    r"""(?P<space>\s+)
    |(?P<raw>r'[^']*'|r"[^"]*")
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>\|\||&&|[=!<>]=|[-+!<>?:.,()\[\]])""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


def compile_rule(text: str) -> Compiled:
    """A function from the variables (`self`) to the rule's value, which raises CelError.

    Raises UnknownCelError.
    """
    parser = _Parser(list(_tokens(text)))
    compiled = parser.expression()
    parser.expect("end")

    def apply(scope: Scope) -> Any:
        try:
            return compiled(scope)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise CelError(str(error)) from error

    return apply


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKENS.match(text, at)
        if found is None:
            raise UnknownCelError(f"{text[at]!r} in {text}")
        at = found.end()
        kind = found.lastgroup or ""
        if kind == "sign":
            yield _Token(found[0], found[0])
        elif kind != "space":
            yield _Token(kind, found[0])
    yield _Token("end", "")


_MACROS: Mapping[str, Callable[[Iterator[Any], list[Any]], Any]] = {
    "all": lambda results, _: all(results),
    "exists": lambda results, _: any(results),
    "exists_one": lambda results, _: sum(map(bool, results)) == 1,
    "map": lambda results, _: list(results),
    "filter": lambda results, items: [i for i, kept in zip(items, results, strict=True) if kept],
}

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
}
_ADD: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
}


class _Parser:
    """Recursive descent by CEL's precedence: ?: then || then && then comparisons then + -."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *kinds: str) -> _Token | None:
        token = self._next
        if token.kind not in kinds and not (token.kind == "name" and token.text in kinds):
            return None
        self._at += 1
        return token

    def expect(self, kind: str) -> _Token:
        token = self._take(kind)
        if token is None:
            raise UnknownCelError(f"{self._next.text or 'the end'} where {kind} was expected")
        return token

    def expression(self) -> Compiled:
        test = self._either()
        if not self._take("?"):
            return test
        then = self._either()
        self.expect(":")
        other = self.expression()
        return lambda scope: then(scope) if test(scope) else other(scope)

    def _either(self) -> Compiled:
        parts = [self._both()]
        while self._take("||"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda scope: any(p(scope) for p in parts)

    def _both(self) -> Compiled:
        parts = [self._comparison()]
        while self._take("&&"):
            parts.append(self._comparison())
        return parts[0] if len(parts) == 1 else lambda scope: all(p(scope) for p in parts)

    def _comparison(self) -> Compiled:
        left = self._sum()
        token = self._take(*_COMPARE)
        if token is None:
            return left
        right, compare = self._sum(), _COMPARE[token.text]
        return lambda scope: compare(left(scope), right(scope))

    def _sum(self) -> Compiled:
        left = self._unary()
        while token := self._take(*_ADD):
            left = _added(_ADD[token.text], left, self._unary())
        return left

    def _unary(self) -> Compiled:
        if self._take("!"):
            inner = self._unary()
            return lambda scope: not inner(scope)
        if self._take("-"):
            inner = self._unary()
            return lambda scope: -inner(scope)
        return self._selected()

    def _selected(self) -> Compiled:
        value = self._primary()
        while True:
            if self._take("["):
                index = self.expression()
                self.expect("]")
                value = _indexed(value, index)
            elif self._take("."):
                name = self.expect("name").text
                value = self._call(name, value) if self._take("(") else _field(value, name)
            else:
                return value

    def _call(self, name: str, target: Compiled) -> Compiled:
        if name in _MACROS:
            variable = self.expect("name").text
            self.expect(",")
            body = self.expression()
            self.expect(")")
            return _macro(_MACROS[name], target, variable, body)
        if name not in METHODS:
            raise UnknownCelError(f"{name}()")
        method, arguments = METHODS[name], self._arguments(")")
        return lambda scope: method(target(scope), *(a(scope) for a in arguments))

    def _arguments(self, end: str) -> list[Compiled]:
        found: list[Compiled] = []
        while not self._take(end):
            if found:
                self.expect(",")
            found.append(self.expression())
        return found

    def _primary(self) -> Compiled:
        if self._take("("):
            inner = self.expression()
            self.expect(")")
            return inner
        if self._take("["):
            items = self._arguments("]")
            return lambda scope: [item(scope) for item in items]
        token = self._take("raw", "text", "number", "name")
        if token is None:
            raise UnknownCelError(self._next.text or "the end")
        if token.kind != "name":
            value = _literal(token)
            return lambda _: value
        return self._named(token.text)

    def _named(self, name: str) -> Compiled:
        if name in _WORDS:
            return lambda _: _WORDS[name]
        if not self._take("("):
            return (lambda _: name) if name in TYPES else lambda scope: scope[name]
        if name == "has":
            return self._has()
        if name not in FUNCTIONS:
            raise UnknownCelError(f"{name}()")
        function, arguments = FUNCTIONS[name], self._arguments(")")
        return lambda scope: function(*(a(scope) for a in arguments))

    def _has(self) -> Compiled:
        """`has(a.b.c)`: is there a field c in a.b?"""
        path = [self.expect("name").text]
        while self._take("."):
            path.append(self.expect("name").text)
        self.expect(")")
        holder: Compiled = lambda scope: scope[path[0]]  # noqa: E731  (built up by the loop)
        for name in path[1:-1]:
            holder = _field(holder, name)
        return lambda scope: path[-1] in holder(scope)


def _literal(token: _Token) -> Any:
    if token.kind == "number":
        return float(token.text) if "." in token.text else int(token.text)
    if token.kind == "raw":
        return token.text[2:-1]
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), token.text[1:-1])


def _added(add: Callable[[Any, Any], Any], left: Compiled, right: Compiled) -> Compiled:
    return lambda scope: add(left(scope), right(scope))


def _field(target: Compiled, name: str) -> Compiled:
    def select(scope: Scope) -> Any:
        holder = target(scope)
        if not isinstance(holder, Mapping) or name not in holder:
            raise CelError(f"no such key: {name}")
        return holder[name]

    return select


def _indexed(target: Compiled, index: Compiled) -> Compiled:
    def select(scope: Scope) -> Any:
        try:
            return target(scope)[index(scope)]
        except LookupError as error:
            raise CelError(f"no such key: {error}") from error

    return select


def _macro(
    gather: Callable[[Iterator[Any], list[Any]], Any],
    target: Compiled,
    variable: str,
    body: Compiled,
) -> Compiled:
    def run(scope: Scope) -> Any:
        items = list(target(scope))
        return gather((body({**scope, variable: item}) for item in items), items)

    return run
