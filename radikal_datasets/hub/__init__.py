"""Hub folders on disk: Parquet and a card, readable by plain `datasets.load_dataset` anywhere."""
