"""Is it a living face before the camera: presentation attack detection."""
