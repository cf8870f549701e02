"""Why a model answers as it does: maps over faces, and what speaks for and against such maps."""
