"""The decisions: `Snapshot → Plan`. Pure: no I/O, clock, randomness or environment."""
