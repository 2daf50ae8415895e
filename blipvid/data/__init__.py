"""Benchmark files and annotations to sets of clips and texts. Decodes nothing."""
