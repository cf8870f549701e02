"""Statistics of what a model said, step by step, and of what people said; no torch."""
