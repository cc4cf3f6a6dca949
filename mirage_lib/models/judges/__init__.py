"""Models that judge: asked, served at an address, classifiers, and their names."""
