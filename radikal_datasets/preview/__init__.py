"""Contact sheets and galleries of a set's images with their ground truth."""
