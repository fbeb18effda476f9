"""Training: loop, recipe, cell, scoring. After a change here, every net trains again."""
