"""`spec.traffic.sticky`: by what clients are dealt out among the versions of a rollout. Pure.

Part of `types`; every bound, pattern and rule of these fields stands here.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from savedmodel_operator.api.scalars import Base, cel

HEADER_PATTERN = r"^[a-z0-9!#$%&*+.^_|~-]+$"
"""A field name (RFC 9110 §5.1, token) without quotes, in the lower case that HTTP/2 and gRPC send."""

OTHERS = ("authority", "connection", "content-length", "cookie", "host", "te", "transfer-encoding")
"""What says nothing of a user, what the router takes away, and the cookies of all pages at once."""


class Sticky(Base, frozen=True):
    """Requests with one value of a header get one version while its weight does not fall."""

    header: Annotated[
        str,
        Meta(
            pattern=HEADER_PATTERN,
            min_length=1,
            max_length=64,
            description="Name of the header (HTTP) or metadata key (gRPC), in lower case, whose "
            "value names the user, such as x-user-id. Requests without it are dealt out by chance.",
            extra_json_schema=cel(
                (
                    f"!(self in {list(OTHERS)}) && "
                    "!self.startsWith('x-envoy-') && !self.startsWith('x-savedmodel-')",
                    "must be a header that clients set to name their user, such as x-user-id; not "
                    "cookie, host, or one that belongs to the connection or the router",
                )
            ),
        ),
    ]
