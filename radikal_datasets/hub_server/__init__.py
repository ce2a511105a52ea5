"""The embedded Hub: the part of a Hub that huggingface_hub and datasets need, in one process, for plants without one.

Measured protocol: docs/hub-protocol.md. Repositories, refs and commits are rows of a SQLite file, contents are files
named by their sha256. See docs/hub-server.md for its limits.
"""
