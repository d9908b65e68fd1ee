"""Face parsing: which pixels of a face are skin, brows, eyes, nose, lips, mouth and hair."""
