"""Every parser that faces the network, fed what nobody would send: it refuses or makes the best of it, and lives on."""
