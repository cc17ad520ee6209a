"""Pictures compared with golden ones: emulator frames, terminals, web pages."""
