"""RTNet (paper 43): face parsing on RoI tanh-polar pictures with hybrid blocks."""
