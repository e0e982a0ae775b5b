"""Text processing: standardization, tokenization and word vectors."""
