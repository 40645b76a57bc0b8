"""Files of objects and values, read row by row; nothing is dropped without a word."""
