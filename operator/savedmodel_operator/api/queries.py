"""`spec.rollout.analysis.prometheus` and `queries`: what a Prometheus is asked about a candidate. Pure.

Part of `types`. A query is PromQL with variables in double braces, as Flagger has them; every bound,
and which variables there are, stands here. What an answer means is `analysis.queries`' matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from savedmodel_operator.api.golden import RequestName
from savedmodel_operator.api.scalars import Base, ConfigMapKey, LocalObjectReference, cel

VARIABLES = (
    "name",
    "namespace",
    "model",
    "revision",
    "version",
    "stable.revision",
    "stable.version",
)
"""Name and namespace of the object, the model's name, revision and number of both."""

MAX_QUERIES = 10

NUMBER_PATTERN = r"^-?[0-9]{1,12}(\.[0-9]{1,9})?(e-?[0-9]{1,2})?$"
Number = Annotated[str, Meta(pattern=NUMBER_PATTERN, max_length=32)]

_BRACES = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_LISTED = ", ".join(f"{{{{ {name} }}}}" for name in VARIABLES)
_WORDS = f"variables are {_LISTED}; anything else in double braces is none"

_KNOWN = "|".join(name.replace(".", "[.]") for name in VARIABLES)
# One match over the whole text: findAll costs the API server more than it grants to a CRD.
_VARIABLES = cel(
    (rf"self.matches('^([^{{]|[{{][^{{]|[{{][{{] *({_KNOWN}) *[}}][}}])*[{{]?$')", _WORDS)
)


class Prometheus(Base, frozen=True):
    """Where the queries are sent."""

    RULES = (
        (
            "!(has(self.secretRef) || has(self.caBundle)) || self.address.startsWith('https://')",
            "a token is sent, and a certificate judged, over https only: write https:// in address, "
            "or leave secretRef and caBundle out",
        ),
    )

    address: Annotated[
        str,
        Meta(
            max_length=512,
            description="The URL of a server with Prometheus' HTTP API, "
            "http://prometheus.monitoring:9090. The administrator allows hosts by the chart value "
            "prometheus.allowedAddresses.",
            extra_json_schema=cel(
                (
                    r"self.matches('^https?://[^/@?#]+(/[^@?#]*)?$') && !self.contains('..')",
                    "must be http(s)://HOST[:PORT] with at most a path in front of /api/v1/query",
                )
            ),
        ),
    ]
    secret_ref: (
        Annotated[
            LocalObjectReference,
            Meta(
                description="Secret with token, which is sent as a bearer token. One of the names in "
                "the chart value storageSecretNames."
            ),
        ]
        | None
    ) = None
    ca_bundle: (
        Annotated[
            ConfigMapKey, Meta(description="PEM certificates that the server's certificate needs.")
        ]
        | None
    ) = None


class Query(Base, frozen=True):
    """One question whose answer is one number, and what that may be."""

    RULES = (
        ("has(self.max) || has(self.min)", "set max, min or both"),
        (
            "!has(self.max) || !has(self.min) || double(self.min) <= double(self.max)",
            "min must not be above max",
        ),
    )

    name: Annotated[RequestName, Meta(min_length=1)]
    query: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2048,
            description="PromQL that gives one number. Variables: " + _LISTED + ".",
            extra_json_schema=_VARIABLES,
        ),
    ]
    max: Annotated[Number, Meta(description="The most that the answer may be.")] | None = None
    min: Annotated[Number, Meta(description="The least that the answer may be.")] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what CEL refuses, too: a CRD may be older than the operator."""
        fill(self.query, dict.fromkeys(VARIABLES, ""))
        if self.max is None and self.min is None:
            raise ValueError("set max, min or both")


def fill(query: str, values: Mapping[str, str]) -> str:
    """The query with its variables replaced. Raises ValueError for an unknown one.

    >>> fill('up{pod=~"{{ revision }}-.*"}', {"revision": "m-v2-0"})
    'up{pod=~"m-v2-0-.*"}'
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise ValueError(f"{found[0]} is no variable; {_WORDS}")
        return values[found[1]]

    return _BRACES.sub(value, query)
