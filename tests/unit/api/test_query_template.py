"""Variables of a query: known ones are filled in, unknown ones refused in words."""

from __future__ import annotations

import msgspec
import pytest

from savedmodel_operator.api.queries import VARIABLES, Query, fill

VALUES = {name: name.upper() for name in VARIABLES}


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("form", ["{{%s}}", "{{ %s }}", "{{  %s}}"])
def test_every_variable(name: str, form: str) -> None:
    assert fill(f'x{{a="{form % name}"}}', VALUES) == f'x{{a="{name.upper()}"}}'


@pytest.mark.parametrize(
    "query",
    ['sum(rate(x{a="b"}[1m]))', 'x{a=~"[0-9]{1,2}"}', "{}", "up", '{__name__="x"}', "x{a='{'} }"],
)
def test_plain_promql_stays_as_it_is(query: str) -> None:
    assert fill(query, VALUES) == query


def test_a_value_is_no_template() -> None:
    assert fill("{{ name }}", {"name": "{{ version }}"}) == "{{ version }}"


@pytest.mark.parametrize("query", ["{{ nmae }}", "up{a='{{}}'}", "{{ args.x }}", "{{ Name }}"])
def test_an_unknown_variable_is_refused_with_those_there_are(query: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"is no variable; variables are \{\{ name"):
        msgspec.convert({"name": "q", "query": query, "max": "1"}, Query)


def test_a_query_without_a_bound_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="set max, min or both"):
        msgspec.convert({"name": "q", "query": "up"}, Query)
