"""A Hub folder on disk: Parquet shards, manifest and card, readable by plain `datasets.load_dataset` anywhere."""
