"""Turn a source's examples into Arrow tables; declarative bases for sources."""
