"""Object stores: listing, locks, guarded header reads and the fetch engine.

`discover` turns a bucket into an `api.source.SourceView` for the planner; `fetch` turns a lock
into a model directory inside a pod. `versions` and `lock` are pure; `s3` and `guard` are the only
modules that open connections for the operator, `fetch` the only one that writes files.
"""
