"""Measurements that are too slow or too noisy for tests; `results.md` holds the figures of one day."""
