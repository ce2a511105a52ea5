"""Annotation formats, one module each, and the geometry between masks, boxes, polygons and ellipses.

No module here knows a source.
"""
