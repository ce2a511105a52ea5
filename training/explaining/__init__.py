"""Saliency maps of a detector's detections, and scores that measure whether such a map can be trusted.

Methods (`cam`, `attention`, `d_rise`, `gradients`) are independent of detection: they take a network and a target, a
function of its outputs (`targets`). No method gets the true boxes; only `trust` compares with them, afterwards.
"""
