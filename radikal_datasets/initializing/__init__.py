"""`init`: look at a folder of own images, and write its `radikal.yaml`."""
