"""Tables and numbers -> one page for people, and a model card."""
