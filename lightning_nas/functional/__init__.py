"""Pure functions on tensors, seeds and files; they import nothing of the package."""
