"""An embedded miniature world in 13 languages, written for this project, on which the whole pipeline runs."""
