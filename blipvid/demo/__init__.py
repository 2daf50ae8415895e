"""A drawn world of coloured shapes: pictures, clips, captions, questions; nothing to download."""
