"""The report of a run: one self-contained page, the same in Markdown, and its figures and tables as files."""
