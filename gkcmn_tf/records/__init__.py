"""What training reads: clips with their sentences, and batches of them."""
