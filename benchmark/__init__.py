"""What the stages share: data, training, scoring, and the params."""
