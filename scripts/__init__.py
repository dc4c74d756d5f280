"""Small programs for whoever works on the project. Nothing the library or a service needs at run time may live here."""
