"""How alike are the languages to an encoder: probe, retrieval, geometry, disparity; and what removes the language."""
