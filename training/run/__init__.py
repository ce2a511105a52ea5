"""A training run's parts that know nothing of its task: settings, output, signals, checkpoints, data."""
