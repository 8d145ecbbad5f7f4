"""Getting a model to where it is used."""
