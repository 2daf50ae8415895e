"""The BLIP family: towers, checkpoints, and the model zoo. Knows no media file and no dataset."""
