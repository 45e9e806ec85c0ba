"""The words of the product: spec and status types, names, reasons, actions. Pure.

Everybody may import this room; it imports nobody. `crds/` is generated from `types`.
"""
