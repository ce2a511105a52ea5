"""The DeepPCB publisher's own detection scores, as an `evaluate` module."""
