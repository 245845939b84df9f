"""Pages, figures and text made of results."""
