"""The old place of `radikal_datasets.hub_server`, an alias for one version."""
