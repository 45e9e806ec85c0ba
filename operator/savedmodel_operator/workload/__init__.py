"""What the operator puts into the cluster, as plain manifests, and how it differs. Pure.

`plan` calls the builders; nothing here reads the cluster, a clock or the environment. One file
per noun: `owner` (whose), `model` (a revision's workload), `revision` (its frozen record), `lock`,
`router` (the Envoy in front) with `route`, `envoy` and its parts, `drift` (wanted against seen).
"""
