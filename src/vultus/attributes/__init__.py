"""Age and sex of a face."""
