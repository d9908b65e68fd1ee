"""68 points on a face."""
