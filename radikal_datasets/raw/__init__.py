"""What lies on disk: a publisher's tree, its archives, and its image files, read-only."""
