"""What can be set, as frozen dataclasses that import no torch, so that help answers at once.

The text under each field is its help on the command line; field names are unique over a recipe.
"""
