"""Text processing: standardization, tokenization and word vectors."""

WORD_WIDTH = 300  # width of the GloVe vectors in the paper
