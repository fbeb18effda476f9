"""The stages of dvc.yaml, one script per stage."""
