"""Contact sheets and galleries of a dataset's images with their ground truth."""
