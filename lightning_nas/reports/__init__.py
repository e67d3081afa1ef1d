"""Pictures of cells, probabilities and fronts."""
