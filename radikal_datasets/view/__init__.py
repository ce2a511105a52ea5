"""Every picture and page in the project: HTML pages, drawing on images, plots."""
