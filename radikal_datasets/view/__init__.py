"""Everything visual in the project: HTML pages, drawing on images, plots."""
