"""What a stack costs: planned by part and at most, compared, bought in other ways, and the bill so far."""
