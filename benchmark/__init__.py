"""Code that the stages share: params, data, training, statistics, reports."""
