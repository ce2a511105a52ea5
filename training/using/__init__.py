"""A trained model in use: opening it, running it over images, writing results, exporting it."""
