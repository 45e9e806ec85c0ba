"""Analysis: do the requests of the last minutes show that the candidate is bad? Pure statistics.

`bounds` knows distributions, `spending` how much doubt is left, `window` counts, `judge` decides
one look. Nobody here reads a metric or waits: `observe` brings counts, `plan` acts on the verdict.
"""
