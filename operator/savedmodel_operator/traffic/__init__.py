"""How traffic reaches the revisions, seen from outside: what the data plane itself answers.

Effects: HTTP to pods. What the routers should do is decided by `plan` and built by `workload`.
"""
