"""Features that outlive a run: one file a clip, found again by what went into it."""
