"""Sans-IO codecs of streaming: bytes in, events out, bytes to send. Nothing here awaits, reads a clock or logs."""
