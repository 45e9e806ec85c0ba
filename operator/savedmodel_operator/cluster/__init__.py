"""The only way to the API server: calls, watches, caches and its clock.

`client` makes calls by kind and maps errors; `informer` keeps `cache` (children) fresh; `objects`
holds the SavedModelDeployments that kopf's watch brings; `clock` is the server's time; `crd` is asked
for once at the start. Decisions are nobody's business here.

2026-11: kinds are fixed in `kinds` and the dynamic client is used without its discovery. Drawback:
a kind that moves to another API version needs a release. Alternative, discovery with a cache file:
several calls at each start and a writable disk for nothing that could differ.
"""

from savedmodel_operator.cluster.cache import ChildCache, Owner
from savedmodel_operator.cluster.client import Client
from savedmodel_operator.cluster.clock import ServerClock
from savedmodel_operator.cluster.informer import Watches
from savedmodel_operator.cluster.objects import ObjectCache

__all__ = ["ChildCache", "Client", "ObjectCache", "Owner", "ServerClock", "Watches"]
