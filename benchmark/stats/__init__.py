"""The statistics: how far an accuracy is known, and which differences are significant."""
