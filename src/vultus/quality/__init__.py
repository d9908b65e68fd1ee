"""How far a picture of a face can be used: components, an overall score, reasons in words."""
