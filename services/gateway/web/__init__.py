"""The oversight pages: server-rendered, read-only, without scripts. They read `reading` and nothing that writes."""
