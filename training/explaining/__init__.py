"""Maps of what a detector's calls rest on, and scores that say whether such a map deserves trust.

Methods (`cam`, `attention`, `d_rise`, `gradients`) know nothing of detection: they take a network and a target, a
function of its outputs (`targets`). No method is shown the true boxes; only `trust` compares with them, afterwards.
"""
