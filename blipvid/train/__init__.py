"""Training of the MED: recipes, the loop, losses."""
