"""`savedmodel` and `kubectl savedmodel`: commands for people and pipelines. Effects live here."""
