"""Source text read without a compiler: functions by their heads and braces, their comments, and calls of them."""
