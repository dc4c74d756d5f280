"""The launcher: a broker, three agencies and a gateway as separate processes of one city, watched and restarted."""
