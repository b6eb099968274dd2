"""One folder per pipeline, named as users type it."""
