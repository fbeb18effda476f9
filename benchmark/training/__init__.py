"""Training: the loop, the recipe, a cell, scoring. A change here retrains every net."""
