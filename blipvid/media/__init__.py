"""Media files to frames: readers, sampling, decoding, transforms, loading. Knows no model and no dataset."""
