"""Benchmark files and annotations to sets of clips, and of texts or questions about them. Decodes nothing."""
