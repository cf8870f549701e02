"""The emotions in the project's order, each data set's own order, and the names that mean them."""

EMOTIONS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
)

FERPLUS_ORDER = EMOTIONS
"""FER+'s vote columns; `unknown` and `not a face` follow them. microsoft/FERPlus."""

FER2013_ORDER = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""Numbers 0-6 of fer2013.csv. Goodfellow et al. 2013, arXiv:1307.0414."""

RAFDB_ORDER = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""Numbers 1-7 of RAF-DB's lists and folders. Li, Deng and Du 2017."""

AFFECTNET_ORDER = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
)
"""Numbers 0-7 of AffectNet. Mollahosseini et al. 2017, arXiv:1708.03985."""

ALIASES = {
    "neutral": ("neutrality", "calm"),
    "happiness": ("happy", "joy", "smile"),
    "surprise": ("surprised", "suprise"),
    "sadness": ("sad",),
    "anger": ("angry",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared"),
    "contempt": ("contemptuous",),
}
"""Other words for each emotion, as folders and label columns spell them."""

_BY_NAME = {word: emotion for emotion, words in ALIASES.items() for word in (emotion, *words)}


def emotion_of(name: str) -> str | None:
    """Return the emotion that a folder or label name means, or None."""
    return _BY_NAME.get(name.strip().lower())


def in_project_order(names: set[str] | frozenset[str]) -> tuple[str, ...]:
    """Return a set of emotions in the order that is used everywhere inside."""
    return tuple(emotion for emotion in EMOTIONS if emotion in names)
