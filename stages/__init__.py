"""The stages of dvc.yaml, one script a stage."""
