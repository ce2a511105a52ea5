"""The task-independent parts of a training run: settings, output, signals, checkpoints, data."""
