"""From scores to words with times: splitting transcripts, decoding slots, results and files. Never imports transformers."""
