"""Tables, charts and pages that show the results."""
