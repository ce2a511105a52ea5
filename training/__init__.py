"""Training and scoring of detectors on radikal_datasets' sources. Runs from a checkout; see `train.py`."""
