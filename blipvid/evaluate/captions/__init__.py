"""How near captions come to those that people gave."""
