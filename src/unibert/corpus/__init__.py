"""Wikipedia dumps and plain text in; clean paragraphs, one Parquet file per language, out."""
