"""The embedded Hub: what huggingface_hub and datasets need of a Hub, for a plant that has none, in one process.

Measured protocol: facts/private-hub.md. Repositories, refs and commits are rows of a SQLite file, contents are files
named by their sha256. See docs/hub-server.md for its limits.
"""
