"""Export formats: each turns a record into a row, or says why it cannot."""
