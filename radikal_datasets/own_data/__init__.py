"""Read a plant's own images and labels: one reader per format, and what is common to all of them."""
