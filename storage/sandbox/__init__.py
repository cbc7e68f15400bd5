"""Files of strangers are decoded in processes that can do nothing else, and that may be lost."""
