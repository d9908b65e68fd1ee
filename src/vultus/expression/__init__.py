"""Expression of a face: seven classes, valence and arousal."""
