"""Statistics: intervals of accuracies, and tests of differences."""
