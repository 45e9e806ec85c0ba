"""Looking at the world: everything a decision may depend on becomes one frozen `Snapshot`.

`observer` puts it together from caches; `sources` polls buckets, `access` reads the Secret that
this needs, `routers` asks router pods what they carry, `live` asks a candidate's pods what they
serve (`candidate` says what is asked, `golden` reads the files with requests), `counters` what the
requests of a rollout met. `watches` repeats a look for each object. All of them work beside the
cycles and only wake the object when something changed, so an idle cycle costs no call. Nothing
here writes to the cluster.
"""

from savedmodel_operator.observe.observer import Observer

__all__ = ["Observer"]
