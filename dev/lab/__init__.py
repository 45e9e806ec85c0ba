"""The laboratory: everything that development and tests need from a machine.

Rooms, from the ground up:
- `instance` (names, paths, addresses), `errors`, `progress`, `command`, `cache`, `api`
- what must be there: `packages` (Debian's), `build` (Go programs)
- container images: `recipes` (from what), `images` (built), `archive` (packed)
- one node without Docker: `network`, `pki`, `components`, `node`, `runtime`, `cgroups`, `mounts`,
  and `native`, which knows their order
- `kind` (one node with Docker), `s3` (the object store), `cluster_cli` (the commands)

The product never imports this package.
"""
