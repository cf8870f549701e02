"""What the readings are not for; the same words wherever a model meets a person."""

from textwrap import fill

MEANING = (
    "It reads the apparent expression of a face, as annotators would label it, not what a person "
    "feels."
)

STATEMENT = (
    "For research. Not for decisions about people at work, at school, in hiring, policing, credit, "
    "medicine or lie detection. Tell the people whose faces are read. Error rates differ between "
    "groups of people."
)

NOTICE = fill(f"{MEANING} {STATEMENT}", 95)
"""Both, in lines for a terminal."""
