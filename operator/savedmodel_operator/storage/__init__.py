"""Object stores: listing, locks, guarded header reads and the fetch engine.

`discover` turns a bucket into an `api.source.SourceView` for the planner; `fetch` turns a lock
into a model directory inside a pod. `versions`, `checksum`, `lock` and `guard` judge and compute;
`s3` over `guarded` is what opens connections for the operator, `transfer` for the fetcher;
`fetch` writes files and `tensors` has the last look at them.
"""
