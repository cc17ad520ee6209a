"""Facts about the machine: registers, memory maps, header, vectors; look-up, and questions with known answers."""
