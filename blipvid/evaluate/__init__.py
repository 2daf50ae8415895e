"""Protocols of evaluation: features, ranking, metrics, statistics. Knows no BLIP and no dataset."""
