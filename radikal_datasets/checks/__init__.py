"""Checks of splits that are ready to be read: in `verify FOLDER`, before training, and in every other command."""
