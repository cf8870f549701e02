"""Training, evaluation and what keeps a run safe; knows nothing about any one model or loss."""
