"""Models x settings x languages x seeds, and what comes out of them."""
