"""Truth formats, one module each, and the geometry between masks, boxes, polygons and ellipses.

No file here knows a source.
"""
