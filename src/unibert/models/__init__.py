"""The students of Table 1, any masked language model as teacher, and the language discriminator."""
