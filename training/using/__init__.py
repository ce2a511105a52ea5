"""Use a trained model: open it, run it on images, write the results, export it."""
