"""The sections of the page that `adafer steps` writes; they read the results of the analysis."""
