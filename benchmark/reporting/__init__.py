"""Tables, charts and pages of the results."""
